"""What the doctor says of a role's privileges."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from pgq_core.db import AsyncpgDriver
from pgq_core.doctor import Severity, examine
from pgq_core.doctor.roles import ROLES, divided
from pgq_core.queries import Queries

PAGE = Path(__file__).parents[2] / "docs" / "privileges.md"
GRANT = re.compile(
    r"GRANT ([A-Z, ]+)(?: ?\((\w+)\))? ON (?:SEQUENCE |FUNCTION )?([^;]*?) TO pgq_(\w+);"
)
Acting = Callable[[], Awaitable[Queries]]
Granted = set[tuple[str, str, str | None]]


def promised() -> dict[str, Granted]:
    """What the page grants: purpose → (object, privilege, column)."""
    found: dict[str, Granted] = {purpose: set() for purpose in ROLES}
    # A list of privileges may end in one with a column.
    text = re.sub(r"\s+", " ", PAGE.read_text()).replace("INSERT, SELECT (id)", "SELECT (id)")
    for privileges, column, names, purpose in GRANT.findall(text):
        for name in names.split(", "):
            for privilege in privileges.strip().split(", "):
                found[purpose].add((name, privilege, column or None))
    found["producer"].add(("pgq_jobs", "INSERT", None))
    ids = {("pgq_jobs", "SELECT", "id"), ("pgq_batches", "SELECT", "batch_id")}
    for heir in ("worker", "admin"):  # they may read the whole tables
        found[heir] |= found["producer"] - ids
    return found


def test_the_page_and_the_doctor_agree() -> None:
    """The doctor asks for exactly the privileges that docs/privileges.md grants."""
    known = {
        purpose: {
            (name, *divided(privilege))
            for privilege, names in grants.items()
            for name in names.split()
        }
        for purpose, grants in ROLES.items()
    }
    assert known == promised()


@pytest.fixture
async def role(database: str, conn: asyncpg.Connection[Any]) -> AsyncIterator[str]:
    """A role that may do nothing yet."""
    name = "pgq_test_" + database.partition("pgq_test_")[2].partition("?")[0]
    await conn.execute(f'CREATE ROLE "{name}"')
    yield name
    await conn.execute(f'RESET ROLE; DROP OWNED BY "{name}"; DROP ROLE "{name}"')


async def test_a_role_that_may_nothing(role: str, conn: asyncpg.Connection[Any]) -> None:
    """What a worker's role may not do is named; the GRANTs given mend it, and are enough."""
    queries = Queries(AsyncpgDriver(conn))
    await conn.execute(f'SET ROLE "{role}"')
    [finding] = await examine(queries)
    assert (finding.name, finding.severity) == ("privileges", Severity.ERROR)
    await conn.execute("RESET ROLE")
    for statement in finding.mend.split("; ")[:-1]:
        await conn.execute(statement)
    await conn.execute(f'SET ROLE "{role}"')
    assert await examine(queries) == []


@pytest.mark.parametrize("purpose", ["admin", "producer"])
async def test_another_purpose(role: str, conn: asyncpg.Connection[Any], purpose: str) -> None:
    """A role that is whole as an admin's or a producer's is mentioned, and no error."""
    for name, privilege, column in promised()[purpose]:
        kind = "FUNCTION " if privilege == "EXECUTE" else ""
        part = f" ({column})" if column else ""
        await conn.execute(f'GRANT {privilege}{part} ON {kind}{name} TO "{role}"')
    await conn.execute(f'SET ROLE "{role}"')
    [finding] = await examine(Queries(AsyncpgDriver(conn)))
    assert (finding.name, finding.severity) == ("privileges", Severity.INFO)
    assert purpose in finding.facts["complete_as"]


async def test_the_schema_too(role: str, conn: asyncpg.Connection[Any]) -> None:
    """A role that may not even look into the schema gets the GRANT for that as well."""
    await conn.execute("REVOKE USAGE ON SCHEMA public FROM PUBLIC")
    await conn.execute(f'SET ROLE "{role}"')
    [finding] = await examine(Queries(AsyncpgDriver(conn)))
    assert f'GRANT USAGE ON SCHEMA "public" TO "{role}"' in finding.mend

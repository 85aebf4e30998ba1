"""Run every check."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import asyncpg

from pgq_core.doctor import access, drift, storage, workers
from pgq_core.doctor.check import Check
from pgq_core.doctor.finding import ORDER, Finding, Severity
from pgq_core.doctor.limits import Limits
from pgq_core.doctor.roles import asked
from pgq_core.errors import DatabaseError, SchemaMissing, SchemaNewer, SchemaOutdated, typed
from pgq_core.queries import Queries

SERVER = (
    Check("server", access.server),
    Check("horizon", storage.horizon),
    Check("notify", storage.notify),
)
QUEUE = (
    Check("privileges", access.privileges, asked()),
    Check("objects", drift.drift),
    Check("autovacuum", storage.autovacuum),
    Check("dead", storage.dead),
    Check("bloat", storage.bloat),
    Check("unserved", workers.unserved),
    Check("paused", workers.paused),
    Check("overdue", workers.overdue),
    Check("silent", workers.silent),
    Check("stalled", workers.stalled),
    Check("deaf", workers.deaf),
    Check("leases", workers.leases),
)
INSTALL: dict[type[DatabaseError], tuple[str, Callable[[str], str]]] = {
    SchemaMissing: ("schema_missing", partial(typed, "install")),
    SchemaOutdated: ("schema_outdated", partial(typed, "upgrade")),
    SchemaNewer: ("schema_newer", lambda _: "pip install --upgrade pgq-suite"),
}


async def examine(queries: Queries, limits: Limits | None = None) -> list[Finding]:
    """Everything that is wrong, the worst first. Only reads. Raises DatabaseUnreachable."""
    limits = limits or Limits()
    findings = [found for check in SERVER for found in await ask(check, queries, limits)]
    trouble = await version(queries)
    findings += trouble
    if not any(found.name == "schema_missing" for found in trouble):
        findings += [found for check in QUEUE for found in await ask(check, queries, limits)]
    return sorted(findings, key=lambda found: -ORDER.index(found.severity))


async def version(queries: Queries) -> list[Finding]:
    """Whether the tables belong to this program."""
    try:
        await queries.check()
    except (SchemaMissing, SchemaOutdated, SchemaNewer) as error:
        name, mend = INSTALL[type(error)]
        return [Finding(name, Severity.ERROR, str(error), mend(queries.schema), vars(error))]
    except asyncpg.InsufficientPrivilegeError:
        return []  # the check of privileges says it better
    return []


async def ask(check: Check, queries: Queries, limits: Limits) -> list[Finding]:
    """One check; that it could not be made is a finding too."""
    try:
        return await check.run(queries, limits)
    except asyncpg.InsufficientPrivilegeError:
        return []  # said by the check of privileges, with the GRANT
    except (asyncpg.PostgresError, DatabaseError) as error:
        return [
            Finding(
                "check_failed", Severity.WARNING,
                f"the check {check.name!r} could not be made: {error}",
                f"mend the errors first; the statement is pgq_core/sql/doctor_{check.name}.sql",
                {"check": check.name},
            )
        ]  # fmt: skip

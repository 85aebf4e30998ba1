"""The schema as it is against the schema as the migrations make it."""

from __future__ import annotations

from collections.abc import Iterator

from pgq_core.doctor.blueprint import Planned, blueprint
from pgq_core.doctor.check import Row, Seen
from pgq_core.doctor.finding import Finding, Severity
from pgq_core.doctor.words import table
from pgq_core.sql import quote


def drift(seen: Seen) -> Iterator[Finding]:
    """Missing objects, indexes that are not valid, triggers switched off, functions changed."""
    found = {(row["kind"], row["name"]): row for row in seen.rows}
    for key, planned in blueprint().items():
        row = found.get(key)
        if ("table", planned.name.removesuffix("_pkey")) not in found and is_key(planned):
            continue  # it comes back with its table
        if row is None:
            yield missing(planned, seen.schema)
        elif not row["sound"]:
            yield unsound(planned, seen.schema)
        elif planned.kind == "function":
            yield from changed(planned, row, seen.schema)


def is_key(planned: Planned) -> bool:
    """Whether it is the index of a primary key."""
    return planned.kind == "index" and planned.name.endswith("_pkey")


def missing(planned: Planned, schema: str) -> Finding:
    """An object that is not there."""
    return Finding(
        "schema_drift", Severity.ERROR,
        f"{planned.kind} {planned.name} is missing from schema {schema!r}",
        again(planned, schema),
        {"kind": planned.kind, "object": planned.name, "state": "missing"},
    )  # fmt: skip


def unsound(planned: Planned, schema: str) -> Finding:
    """An index left invalid, a trigger switched off."""
    if planned.kind == "index":
        state, mend = "invalid", f"REINDEX INDEX CONCURRENTLY {table(schema, planned.name)}"
    else:
        owner = table(schema, "pgq_jobs")
        state, mend = "switched off", f"ALTER TABLE {owner} ENABLE TRIGGER {planned.name}"
    return Finding(
        "schema_drift", Severity.ERROR,
        f"{planned.kind} {planned.name} is {state}",
        mend,
        {"kind": planned.kind, "object": planned.name, "state": state},
    )  # fmt: skip


def changed(planned: Planned, row: Row, schema: str) -> Iterator[Finding]:
    """A function that is not the one of this version, or looks for tables elsewhere."""
    facts = {"kind": "function", "object": planned.name}
    if planned.body is not None and row["body"] != planned.body:
        yield Finding(
            "schema_drift", Severity.ERROR,
            f"function {planned.name} is not the one this version installs",
            again(planned, schema), {**facts, "state": "changed"},
        )  # fmt: skip
    elif row["path"] is not None and not looks_into(row["path"], schema):
        yield Finding(
            "schema_drift", Severity.ERROR,
            f"function {planned.name} of schema {schema!r} works on another one ({row['path']}); "
            "was this one renamed?",
            again(planned, schema), {**facts, "state": "elsewhere"},
        )  # fmt: skip


def looks_into(path: str, schema: str) -> bool:
    """Whether a stored search_path begins with the schema."""
    first = path.removeprefix("search_path=").split(",")[0].strip()
    return first in (schema, quote(schema))


def again(planned: Planned, schema: str) -> str:
    """The statements that make it anew."""
    statement = planned.statement
    if planned.kind == "function":
        statement = statement.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1)
    return f"SET search_path TO {quote(schema)}, pg_temp; {statement}"

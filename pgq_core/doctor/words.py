"""Numbers as people read them, names as SQL reads them."""

from __future__ import annotations

from pgq_core.sql import quote


def span(seconds: float | None) -> str:
    """A length of time in the unit that fits."""
    if seconds is None:
        return "an unknown time"
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def size(count: float) -> str:
    """Bytes in MiB."""
    return f"{count / 1048576:.0f} MiB"


def literal(text: str) -> str:
    """A quoted SQL string."""
    return "'" + text.replace("'", "''") + "'"


def table(schema: str, name: str) -> str:
    """A qualified name."""
    return f"{quote(schema)}.{quote(name)}"


def rescue(schema: str, worker: int) -> str:
    """The statement that takes a worker's jobs back."""
    return f"SELECT {table(schema, 'pgq_rescue')}(ARRAY[{worker}]::bigint[])"

"""SQL statements: one file each, with named parameters and qualified names.

A file can be run in psql as it is (`psql -v limit=10 …`); here `:name` becomes `$1`, `$2`, … and
every name that begins with `pgq_` is qualified with the schema, so that a statement means the same
on any connection, whatever its search_path. Other libraries than asyncpg want the parameters in
another style; the statement stays the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import Any

# Comments, string literals, casts, then what we replace.
_TOKEN = re.compile(
    r"(?P<skip>--[^\n]*|'(?:[^']|'')*'|::)|:(?P<name>[a-z_]+)|\b(?P<object>pgq_[a-z_]+)"
)
_NUMBERED = re.compile(r"\$(\d+)")


@dataclass(frozen=True)
class Statement:
    """One statement: its text with numbered parameters, and their names in that order."""

    text: str
    names: tuple[str, ...]

    def bind(self, values: dict[str, Any]) -> list[Any]:
        """The values in the order of the parameters."""
        return [values[name] for name in self.names]

    @cached_property
    def pyformat(self) -> str:
        """The text with `%(name)s`, for psycopg."""
        return self._styled(self.text.replace("%", "%%"), "%({})s")

    @cached_property
    def colon(self) -> str:
        """The text with `:name`, for SQLAlchemy's text(); any other colon is escaped."""
        return self._styled(self.text.replace(":", "\\:"), ":{}")

    def _styled(self, text: str, style: str) -> str:
        return _NUMBERED.sub(lambda match: style.format(self.names[int(match[1]) - 1]), text)


@cache
def load(name: str, schema: str) -> Statement:
    """The statement in `<name>.sql`, for the given schema."""
    return parse(files(__name__).joinpath(f"{name}.sql").read_text(encoding="utf-8"), schema)


def parse(source: str, schema: str) -> Statement:
    """Number the parameters and qualify our names."""
    names: list[str] = []

    def swap(match: re.Match[str]) -> str:
        if match["skip"] is not None:
            return "" if match["skip"].startswith("--") else match["skip"]
        if match["object"] is not None:
            return f"{quote(schema)}.{match['object']}"
        if match["name"] not in names:
            names.append(match["name"])
        return f"${names.index(match['name']) + 1}"

    text = _TOKEN.sub(swap, source).strip().rstrip(";").rstrip()
    return Statement(text, tuple(names))


def quote(identifier: str) -> str:
    """A quoted SQL identifier."""
    return '"' + identifier.replace('"', '""') + '"'

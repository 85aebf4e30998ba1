"""What the migrations create, read from their text: each object with its statement."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pgq_core.migrations import script, versions

# Dollar-quoted bodies and string literals may hold semicolons; comments may hold anything.
_PIECE = re.compile(
    r"--[^\n]*|/\*.*?\*/|(?P<tag>\$\w*\$).*?(?P=tag)|'(?:[^']|'')*'|[^;]", re.DOTALL
)
_KIND = r"(?P<kind>TABLE|INDEX|FUNCTION|TRIGGER|VIEW|SEQUENCE)"
_CREATE = re.compile(rf"CREATE (?:OR REPLACE )?(?:UNLOGGED |UNIQUE )?{_KIND} (?P<name>pgq_\w+)")
_DROP = re.compile(rf"DROP {_KIND} (?:IF EXISTS )?(?P<name>pgq_\w+)")
_BODY = re.compile(r"(\$\w*\$)(?P<body>.*)\1", re.DOTALL)
_KEY = re.compile(
    r"PRIMARY KEY \((?P<several>[^)]*)\)|^\s*(?P<one>\w+) .*PRIMARY KEY", re.MULTILINE
)


@dataclass(frozen=True)
class Planned:
    """One object as it should be."""

    kind: str
    name: str
    statement: str

    @property
    def body(self) -> str | None:
        """A function's text."""
        found = _BODY.search(self.statement) if self.kind == "function" else None
        return found["body"] if found else None


def blueprint() -> dict[tuple[str, str], Planned]:
    """Every object of the installed version, by kind and name; the newest statement counts."""
    plan: dict[tuple[str, str], Planned] = {}
    for version in versions():
        for statement in statements(script(version)):
            if (made := _CREATE.match(statement)) is not None:
                kind = made["kind"].lower()
                plan[kind, made["name"]] = Planned(kind, made["name"], statement)
                if kind == "table":
                    plan.update(primary_key(made["name"], statement))
            elif (gone := _DROP.match(statement)) is not None:
                plan.pop((gone["kind"].lower(), gone["name"]), None)
    return plan


def primary_key(table: str, statement: str) -> Iterator[tuple[tuple[str, str], Planned]]:
    """The index that a table's primary key brings along."""
    found = _KEY.search(statement)
    if found is not None:
        name, columns = f"{table}_pkey", found["several"] or found["one"]
        add = f"ALTER TABLE {table} ADD PRIMARY KEY ({columns})"
        yield ("index", name), Planned("index", name, add)


def statements(text: str) -> Iterator[str]:
    """The statements of a script, without the comments before them."""
    start, position = 0, 0
    while position < len(text):
        piece = _PIECE.match(text, position)
        if piece is not None:
            position = piece.end()
            continue
        yield stripped(text[start:position])
        position += 1
        start = position


def stripped(statement: str) -> str:
    """Without leading comments and blank space."""
    return re.sub(r"^(\s|--[^\n]*\n)+", "", statement).rstrip()

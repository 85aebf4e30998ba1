"""ARCHITECTURE.md is about this code: every room, every table, and a route that is short."""

from __future__ import annotations

import ast
import re

import pytest

from pgq_core.worker import lane, lanes
from tests.docs.pages import ROOT

TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
SCHEMA = "".join(
    file.read_text(encoding="utf-8") for file in ROOT.glob("pgq_core/migrations/v*/*.sql")
)
MADE = re.compile(r"CREATE.* (?:TABLE|SEQUENCE) (pgq_\w+)")
STOP = re.compile(r"^\d+\. `(?P<path>[\w/.]+)`(?: \((?P<names>[^)]*)\))?", re.MULTILINE)


def route() -> list[tuple[str, list[str]]]:
    """The stops of the route: a file, and the names to read in it (none: all of it)."""
    (between,) = re.findall(r"<!-- route -->(.*?)<!-- end of route -->", TEXT, re.DOTALL)
    return [(m["path"], re.findall(r"`(\w+)`", m["names"] or "")) for m in STOP.finditer(between)]


def length(path: str, names: list[str]) -> int:
    """How many lines there are to read. Raises KeyError for a name that is not there."""
    text = (ROOT / path).read_text(encoding="utf-8")
    if not names:
        return len(text.splitlines())
    lengths = functions_of_sql(text) if path.endswith(".sql") else functions_of_python(text)
    return sum(lengths[name] for name in names)


def functions_of_python(text: str) -> dict[str, int]:
    """Every function and method, with its lines."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = [node for node in ast.walk(ast.parse(text)) if isinstance(node, kinds)]
    return {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in found}


def functions_of_sql(text: str) -> dict[str, int]:
    """Every function, with its lines."""
    found = re.finditer(r"CREATE FUNCTION (\w+).*?^\$\$;", text, re.DOTALL | re.MULTILINE)
    return {match[1]: match[0].count("\n") + 1 for match in found}


def test_the_route_of_one_job_is_short() -> None:
    """Following one job from enqueue to outcome means reading under 800 lines."""
    stops = route()
    assert len(stops) >= 5
    assert sum(length(path, names) for path, names in stops) < 800


@pytest.mark.parametrize(
    "table", sorted(set(re.findall(r"CREATE.* (?:TABLE|SEQUENCE) (pgq_\w+)", SCHEMA)))
)
def test_every_table_and_sequence_is_listed(table: str) -> None:
    """The list of tables and sequences is whole."""
    assert f"`{table}`" in TEXT


def test_no_table_is_invented() -> None:
    """Whatever is named `pgq_…` there is an object of the schema or a package."""
    named = set(re.findall(r"`(pgq_[a-z_]+)`", TEXT))
    packages = {path.name for path in ROOT.glob("pgq_*")}
    assert {name for name in named - packages if not re.search(rf"\b{name}\b", SCHEMA)} == set()


def test_every_room_is_in_the_floor_plan() -> None:
    """Each module and package of pgq_core stands in the floor plan."""
    (plan,) = re.findall(r"^```\n(pgq_django \|.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    rooms = {
        path.stem
        for path in (ROOT / "pgq_core").iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists()) and path.stem[0] != "_"
    }
    assert {room for room in rooms if not re.search(rf"\b{room}\b", plan)} == set()


def test_the_numbers_of_marks_and_floors() -> None:
    """The decision about marks and floors names the numbers that the code uses."""
    page = (ROOT / "docs/adr/0003-marks-and-floors.md").read_text(encoding="utf-8")
    numbers = {"WINDOW": lane.WINDOW, "STRIDE": lanes.STRIDE, "SLICE": lanes.SLICE}
    for name, number in numbers.items():
        assert f"`{name}` {number:,}" in page

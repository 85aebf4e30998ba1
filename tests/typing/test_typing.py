"""What a type checker says of programs that use pgq."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy", reason="mypy is not installed: the dependency group `types` brings it")

CASES = Path(__file__).parent / "cases"
EXPECTED = re.compile(r"# E: (?P<text>.+)$")
FOUND = re.compile(r"^(?P<file>[^:]+):(?P<line>\d+): (?P<kind>error|note): (?P<text>.+)$")


@pytest.fixture(scope="module")
def found() -> dict[str, dict[int, str]]:
    """mypy's errors and revelations in every case, by file and line."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--follow-imports=silent",
         "--config-file=", *sorted(map(str, CASES.glob("*.py")))],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stdout + done.stderr
    lines: dict[str, dict[int, str]] = {}
    for match in filter(None, map(FOUND.match, done.stdout.splitlines())):
        if match["kind"] == "error" or "Revealed" in match["text"]:
            lines.setdefault(Path(match["file"]).name, {})[int(match["line"])] = match["text"]
    return lines


@pytest.mark.parametrize("case", sorted(CASES.glob("*.py")), ids=lambda path: path.stem)
def test_mypy_agrees(case: Path, found: dict[str, dict[int, str]]) -> None:
    """A type checker accepts and refuses exactly what it should, line by line."""
    wanted = {
        number: match["text"]
        for number, line in enumerate(case.read_text().splitlines(), start=1)
        if (match := EXPECTED.search(line))
    }
    said = found.get(case.name, {})
    assert said.keys() == wanted.keys(), said
    for number, text in wanted.items():
        assert text in said[number], f"{case.name}:{number}: {said[number]}"

"""What README and docs print, runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Block, blocks, pages, scenarios
from tests.docs.running import Desk
from tests.support import Databases

SCENARIOS = [scenario for page in pages() for scenario in scenarios(page)]


@pytest.fixture
def desk(
    request: pytest.FixtureRequest, databases: Databases, template_database: str, tmp_path: Path
) -> Iterator[Desk]:
    """A fresh directory with the page's files, and a fresh database."""
    first: Block = request.param[0]
    for block in blocks(ROOT / first.page):
        if "file" in block.marks:
            target = tmp_path / block.marks["file"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text + "\n", encoding="utf-8")
    dsn = databases.create(None if "empty database" in first.marks else template_database)
    yield Desk(tmp_path, dsn)
    databases.drop(dsn)


@pytest.mark.parametrize(
    ("desk", "scenario"),
    [pytest.param(found, found, id=found[0].name) for found in SCENARIOS],
    indirect=["desk"],
)
def test_it_runs(desk: Desk, scenario: list[Block]) -> None:
    """The block is a complete program, and prints what the page says."""
    for block in scenario:
        desk.run(block)

"""docs/fastapi.md and README's FastAPI part, as their readers would run them."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fastapi.conftest import Serve
from tests.fastapi.served import ROOT
from tests.support import eventually

PAGE = ROOT / "docs" / "fastapi.md"
BLOCK = re.compile(
    r"((?:^<!-- [^\n]*-->\n)*)^```(python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
MARK = re.compile(r"<!-- (?P<name>[a-z]+)(?:: (?P<value>.*?))? -->")


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    marks: dict[str, str]


def blocks(page: Path) -> Iterator[Block]:
    """Fenced blocks with the comments before them."""
    for match in BLOCK.finditer(page.read_text(encoding="utf-8")):
        marks = {mark["name"]: mark["value"] or "" for mark in MARK.finditer(match[1])}
        yield Block(match[2], match[3], marks)


BLOCKS = list(blocks(PAGE))
SERVED = [block for block in BLOCKS if "serve" in block.marks]
TESTS = [block for block in BLOCKS if "pytest" in block.marks]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A directory with every file of the page."""
    for block in BLOCKS:
        if "file" in block.marks:
            (tmp_path / block.marks["file"]).write_text(block.text, encoding="utf-8")
    return tmp_path


def test_nothing_on_the_page_is_left_unrun() -> None:
    """Every Python block of the page is a file that is served or tested."""
    names = {block.marks.get("file") for block in BLOCKS if block.language == "python"}
    used = {f"{block.marks['serve'].partition(':')[0]}.py" for block in SERVED}
    fixtures = {block.marks["file"] for block in BLOCKS if "fixtures" in block.marks}
    assert names == used | fixtures | {block.marks["file"] for block in TESTS}


@pytest.mark.skipif(shutil.which("curl") is None, reason="not installed: curl")
@pytest.mark.parametrize("block", SERVED, ids=lambda block: block.marks["serve"])
async def test_served_as_printed(
    serve: Serve, empty_database: str, written: Path, block: Block
) -> None:
    """What the page says a server answers is what it answers."""
    server = serve(
        block.marks["serve"], command=["uvicorn", "--port", "0"], cwd=written,
        environment={"PGQ_DSN": empty_database},
    )  # fmt: skip

    async def port() -> str:
        if server.process.poll() is not None:
            raise AssertionError(server.output())
        found = re.search(r"running on http://127\.0\.0\.1:(\d+)", server.output())
        return found[1] if found else ""

    number = await eventually(port)
    for command, expected in commands(block.text):
        if not command.startswith("curl"):
            continue
        done = await asyncio.to_thread(
            subprocess.run, ["bash", "-c", command.replace("8000", number)],
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        pattern = re.escape(expected).replace(re.escape("..."), ".*")
        assert re.fullmatch(pattern, done.stdout.rstrip("\n"), re.DOTALL), (
            done.stdout,
            server.output(),
        )


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block with what it prints."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output.rstrip("\n")


def test_tests_of_the_page_pass(database: str, written: Path) -> None:
    """The tests that the page shows pass, one after the other in one process."""
    files = [block.marks["file"] for block in TESTS]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files],
        cwd=written,
        env={**os.environ, "PGQ_DSN": database, "PYTHONPATH": f"{written}{os.pathsep}{ROOT}"},
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


async def test_readme_quickstart_works(
    serve: Serve, empty_database: str, connect: Any, tmp_path: Path
) -> None:
    """README's FastAPI application, served as it stands, runs the job that a request enqueued."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text[text.index("\n## FastAPI") :]
    match = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert match is not None
    (tmp_path / "quick.py").write_text(match[1], encoding="utf-8")
    server = await serve("quick:app", cwd=tmp_path, environment={"PGQ_DSN": empty_database}).up(
        "/openapi.json"
    )
    async with server.client() as client:
        job = (await client.post("/users", params={"name": "Ada"})).json()["job"]

    conn = await connect()

    async def done() -> bool:
        row = await conn.fetchval("SELECT result FROM pgq_attempts WHERE job_id = $1", job)
        return bool(row == '"hello Ada"')

    await eventually(done)

"""README and docs/ as blocks that can be run, with what they print.

A fenced block may be told more by HTML comments right before it:

``<!-- not run: reason -->``  a Python block that cannot run alone; counted, see test_pages.py
``<!-- run -->``              run this console, bash or sql block (Python blocks run anyway)
``<!-- file: name -->``       the block is also a file of that name, for the whole page
``<!-- same database -->``    goes on where the block before stopped
``<!-- empty database -->``   pgq is not installed there yet
``<!-- exit code: 1 -->``     how it ends, when that is not 0

A ```text block right after a run block is what that prints; `...` stands for anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<language>[\w+-]*)")
MARK = re.compile(r"^\s*<!--\s*(?P<name>[a-z ]+?)\s*(?::\s*(?P<value>.*?))?\s*-->\s*$")
OWN_RUNNER = ("docs/django.md", "docs/fastapi.md")  # unless they say `run with: docs`
SHELLS = ("bash", "console", "sh", "shell")


@dataclass(frozen=True)
class Block:
    """One fenced block; `line` is that of its opening fence."""

    page: str
    line: int
    language: str
    text: str
    marks: dict[str, str] = field(default_factory=dict)
    output: str | None = None

    @property
    def name(self) -> str:
        """Where it stands."""
        return f"{self.page}:{self.line}"

    @property
    def runs(self) -> bool:
        """Whether the tests run it."""
        if self.language == "python":
            return "not run" not in self.marks
        return "run" in self.marks


def pages() -> list[Path]:
    """Every page whose blocks are run here."""
    return [page for page in (ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))) if ours(page)]


def every_page() -> list[Path]:
    """Every page people read."""
    return [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))]


def ours(page: Path) -> bool:
    """Whether its blocks are run here."""
    name = page.relative_to(ROOT).as_posix()
    return name not in OWN_RUNNER or "<!-- run with: docs -->" in page.read_text(encoding="utf-8")


def blocks(page: Path) -> list[Block]:
    """The page's fenced blocks, each with its marks and what it prints."""
    found: list[Block] = []
    for block, adjacent in fenced(page):
        if block.language == "text" and adjacent and found and found[-1].output is None:
            before = found[-1]
            found[-1] = Block(
                before.page, before.line, before.language, before.text, before.marks, block.text
            )
        elif block.language != "text":
            found.append(block)
    return found


def fenced(page: Path) -> Iterator[tuple[Block, bool]]:
    """Every block, and whether nothing but blank lines lies between it and the block before."""
    name = page.relative_to(ROOT).as_posix()
    marks: dict[str, str] = {}
    adjacent = False
    lines = enumerate(page.read_text(encoding="utf-8").splitlines(), start=1)
    for number, line in lines:
        fence, mark = FENCE.match(line), MARK.match(line)
        if fence is not None:
            text = "\n".join(inside(lines, fence["ticks"], len(fence["indent"])))
            yield Block(name, number, fence["language"], text, marks), adjacent
            marks, adjacent = {}, True
        elif mark is not None:
            marks[mark["name"]] = mark["value"] or ""
        elif line.strip():
            marks, adjacent = {}, False


def inside(lines: Iterator[tuple[int, str]], ticks: str, indent: int) -> Iterator[str]:
    """The lines up to the closing fence, without the indentation of the opening one."""
    for _, line in lines:
        if line.strip() == ticks:
            return
        yield line[indent:] if not line[:indent].strip() else line


def scenarios(page: Path) -> list[list[Block]]:
    """The blocks to run, in groups that share a database."""
    groups: list[list[Block]] = []
    for block in blocks(page):
        if block.runs and "same database" in block.marks and groups:
            groups[-1].append(block)
        elif block.runs:
            groups.append([block])
    return groups


def prints(expected: str, found: str) -> bool:
    """Whether the output is as the page says; `...` stands for anything, ends of lines for less."""
    parts = [re.escape(part) for part in tidied(expected).split("...")]
    return re.fullmatch(".*?".join(parts), tidied(found), re.DOTALL) is not None


def tidied(text: str) -> str:
    """Without the blanks nobody sees."""
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def commands(console: str) -> list[tuple[str, str]]:
    """The commands of a console block, after `$ `, each with what is shown below it."""
    found: list[tuple[str, str]] = []
    for line in console.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        elif found and found[-1][0].endswith("\\"):
            found[-1] = (f"{found[-1][0]}\n{line}", "")
        elif found:
            found[-1] = (found[-1][0], f"{found[-1][1]}{line}\n")
    return found

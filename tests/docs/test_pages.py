"""Pages are whole: links lead somewhere, little is left unrun, what is named exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Block, blocks, every_page, pages

# How many Python blocks of a page may be shown without being run, and why that is.
NOT_RUN = {
    "README.md": 1,  # a Django module needs a project around it; docs/django.md has one
}
MOST_NOT_RUN = 8

LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")
TEST = re.compile(r"^`?(?P<name>test_\w+)`?$")
PATH = re.compile(r"`((?:pgq_\w+|tests|docs|benchmarks|example_projects)/[\w./*-]*)`")

PAGES = [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in every_page()]


EVERY = [block for page in pages() for block in blocks(page)]
BLOCKS = [pytest.param(block, id=block.name) for block in EVERY]
PYTHON = [pytest.param(block, id=block.name) for block in EVERY if block.language == "python"]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file, and after `#` one of its headings."""
    for link in LINK.finditer(prose(page)):
        target, _, anchor = link["target"].partition("#")
        if "://" in link["target"] or target.startswith("mailto:"):
            continue
        found = (page.parent / target).resolve() if target else page
        assert found.exists(), f"{page.name}: {link['target']} does not exist"
        if anchor and found.suffix == ".md":
            assert anchor in headings(found), f"{page.name}: no heading #{anchor} in {found.name}"


def test_every_page_is_in_the_index() -> None:
    """docs/index.md, or the list of decisions, links every page, by itself or by its folder."""
    docs = ROOT / "docs"
    linked = {
        (index.parent / link["target"]).resolve()
        for index in (docs / "index.md", docs / "adr/README.md")
        for link in LINK.finditer(prose(index))
    }
    linked.add(docs / "index.md")
    assert [
        page for page in docs.glob("**/*.md") if page not in linked and page.parent not in linked
    ] == []


@pytest.mark.parametrize("page", PAGES)
def test_linked_tests_exist(page: Path) -> None:
    """A link whose text is the name of a test leads to the file that holds this test."""
    for link in LINK.finditer(prose(page)):
        name = TEST.match(link["text"])
        if name is not None:
            source = (page.parent / link["target"]).read_text(encoding="utf-8")
            assert f"def {name['name']}(" in source, f"{link['target']} has no {name['name']}"


@pytest.mark.parametrize("page", PAGES)
def test_named_files_exist(page: Path) -> None:
    """Every file or folder of the project that a page names is there."""
    for path in PATH.findall(prose(page)):
        assert any(ROOT.glob(path.rstrip("/"))), f"{page.name}: {path} does not exist"


def test_few_blocks_are_not_run() -> None:
    """What cannot run alone says why, and there is not much of it."""
    unrun = [block for page in pages() for block in blocks(page) if "not run" in block.marks]
    assert len(unrun) <= MOST_NOT_RUN
    for block in unrun:
        assert block.marks["not run"], f"{block.name}: say why"
    by_page = {name: sum(block.page == name for block in unrun) for name in {b.page for b in unrun}}
    assert {n: count for n, count in by_page.items() if count > NOT_RUN.get(n, 0)} == {}


@pytest.mark.parametrize("block", BLOCKS)
def test_marks_are_known(block: Block) -> None:
    """No block carries a comment for the runner that means nothing."""
    known = {"not run", "run", "file", "same database", "empty database", "exit code"}
    assert block.marks.keys() <= known


@pytest.mark.parametrize("block", PYTHON)
def test_python_is_python(block: Block) -> None:
    """Also a block that is not run can be parsed."""
    compile(block.text, block.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_ci_runs_the_readmes_test_command() -> None:
    """What README gives as the test command is what .ci/run executes."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^python3 -m venv .*tox -p auto$", readme, re.MULTILINE)
    assert command in (ROOT / ".ci/run").read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """The page without its fenced blocks and comments."""
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"^ *(`{3,}).*?^ *\1\s*$", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)


def headings(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them."""
    found = re.findall(r"^#+ +(.+?)\s*$", prose(page), re.MULTILINE)
    return {anchor_of(text) for text in found}


def anchor_of(heading: str) -> str:
    """Lower case, punctuation gone, blanks to hyphens."""
    plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")

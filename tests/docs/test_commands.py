"""Commands and options that a page prints exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from pgq_core.cli import commands
from pgq_core.demo.command import demo
from tests.docs.pages import ROOT, every_page

CALL = re.compile(r"(?:pgq-core|python -m pgq_core)((?: +[^\n`|#]*)?)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
KNOWN: dict[str, Any] = {**commands.commands, "demo": demo}


def calls(page: Path) -> Iterator[list[str]]:
    """The words behind `pgq-core`, wherever the page writes it with a command."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for found in CALL.finditer(text):
        words = re.split(r"[\s]+", found[1].strip())
        if words[0]:
            yield words


def options_of(command: click.Command, words: list[str]) -> set[str]:
    """Every spelling of every option, also of the command of a group that is named."""
    own = {spelling for param in command.params for spelling in (*param.opts, "--help")}
    known = command.commands if isinstance(command, click.Group) else {}
    inner = next((known[word] for word in words if word in known), None)
    return own if inner is None else own | options_of(inner, [])


@pytest.mark.parametrize(
    "page", [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in every_page()]
)
def test_commands_exist(page: Path) -> None:
    """Each `pgq-core command --option` that is printed is one."""
    for words in calls(page):
        rest = [word for word in words if not word.startswith("-")]
        named = next((word for word in rest if word in KNOWN), None)
        if re.fullmatch(r"[a-z]+", words[0]) and not page.name.startswith("CHANGELOG"):
            assert words[0] in KNOWN, f"{page.name}: pgq-core {' '.join(words)}"
        own = options_of(commands, []) | (options_of(KNOWN[named], rest) if named else set())
        for option in OPTION.findall(" ".join(words)):
            assert option in own, f"{page.name}: pgq-core {' '.join(words)} has no {option}"


def test_tox_environments_exist() -> None:
    """Each environment of tox that CONTRIBUTING names stands in tox.ini."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tox = (ROOT / "tox.ini").read_text(encoding="utf-8")
    for name in re.findall(r"tox -e ([a-z0-9-]+)", text):
        stem = name.rstrip("0123456789")
        factors = re.search(rf"^\[testenv:{stem}\{{[^]]*\b{name[len(stem) :]}\b", tox, re.MULTILINE)
        listed = re.search(rf"^env_list =[^[]*(?<![\w-]){name}(?![\w-])", tox, re.MULTILINE)
        assert f"[testenv:{name}]" in tox or factors or listed, name

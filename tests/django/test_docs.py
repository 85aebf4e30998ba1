"""docs/django.md: its first minute is run as it is printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import django
import pytest

from tests.django.settings import database as entry_of

PAGE = Path(__file__).parents[2] / "docs" / "django.md"
BLOCK = re.compile(
    r"^<!-- (?P<mark>run|file|append)(?:: (?P<name>\S+))? -->\n```\w+\n(?P<text>.*?)^```"
    r"(?:\n+```text\n(?P<output>.*?)^```)?",
    re.DOTALL | re.MULTILINE,
)


@pytest.mark.skipif(django.VERSION < (6, 0), reason="the page is written for Django 6")
def test_the_first_minute(empty_database: str, tmp_path: Path) -> None:
    """Following the page from an empty directory prints what the page says."""
    entry = entry_of(empty_database)
    environment = {
        **{name: value for name, value in os.environ.items() if "DJANGO" not in name},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PGDATABASE": entry["NAME"],
        **{f"PG{name}": entry[name] for name in ("HOST", "PORT", "USER")},
    }
    blocks = list(BLOCK.finditer(PAGE.read_text(encoding="utf-8")))
    assert len(blocks) == 4
    for block in blocks:
        if block["mark"] == "run":
            # What it installs is here already; the rest is run as it stands.
            script = block["text"].replace("pip install", "true")
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", script],
                cwd=tmp_path, env=environment, check=False, capture_output=True, text=True,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            assert block["output"] in (None, done.stdout)
        else:
            with (tmp_path / block["name"]).open("a") as file:
                file.write(block["text"])


def test_every_flag_is_explained() -> None:
    """The page names every flag of the worker and every option of a task."""
    from pgq_django.task_options import NAMES
    from pgq_django.worker.arguments import OPTIONS

    text = PAGE.read_text(encoding="utf-8")
    for option in OPTIONS:
        if option.name != "lease":
            assert "--" + option.name.replace("_", "-") in text
    for name in NAMES:
        assert f"`{name}" in text

"""docs/django.md and README: what they say of Django is run as it is printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import django
import pytest
from django.core.management import call_command

from pgq_django.testing import run_pending
from tests.django.settings import database as entry_of
from tests.django.shop import tasks

README = Path(__file__).parents[2] / "README.md"
PAGE = README.parent / "docs" / "django.md"
BLOCK = re.compile(
    r"^<!-- (?P<mark>run|file|append)(?:: (?P<name>\S+))? -->\n```\w+\n(?P<text>.*?)^```"
    r"(?:\n+```text\n(?P<output>.*?)^```)?",
    re.DOTALL | re.MULTILINE,
)


DATABASES = """
import os
DATABASES = {"default": {
    "ENGINE": "django.db.backends.postgresql",
    **{name: os.environ["PG" + name] for name in ("NAME", "HOST", "PORT", "USER")},
}}
"""
CALL = """
from django.contrib.auth.models import User
from django.db import transaction
from shop.tasks import welcome

user = User.objects.create_user("ada")
with transaction.atomic():
{}

"""


class Project:
    """A directory in which a reader types what a page says."""

    def __init__(self, dsn: str, directory: Path) -> None:
        self.directory = directory
        entry = entry_of(dsn)
        self.environment = {
            **{name: value for name, value in os.environ.items() if "DJANGO" not in name},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PGDATABASE": entry["NAME"],
            **{f"PG{name}": entry[name] for name in ("NAME", "HOST", "PORT", "USER")},
        }

    def run(self, script: str) -> str:
        """What a script prints; fails with what it says when it fails."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.directory, env=self.environment, check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def append(self, name: str, text: str) -> None:
        """Write at the end of a file."""
        with (self.directory / name).open("a") as file:
            file.write(text)


@pytest.mark.skipif(django.VERSION < (6, 0), reason="the page is written for Django 6")
def test_the_first_minute(empty_database: str, tmp_path: Path) -> None:
    """Following the page from an empty directory prints what the page says."""
    project = Project(empty_database, tmp_path)
    blocks = list(BLOCK.finditer(PAGE.read_text(encoding="utf-8")))
    assert len(blocks) == 4
    for block in blocks:
        if block["mark"] == "run":
            # What it installs is here already; the rest is run as it stands.
            said = project.run(block["text"].replace("pip install", "true"))
            assert block["output"] in (None, said)
        else:
            project.append(block["name"], block["text"])


@pytest.mark.skipif(django.VERSION < (6, 0), reason="the page is written for Django 6")
def test_the_readme(empty_database: str, tmp_path: Path) -> None:
    """What README says of Django runs: in a new project, pasted where its comments say."""
    text = README.read_text(encoding="utf-8").partition("\n## Django\n")[2]
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code
    settings, tasks, enqueue = re.split(
        r"^# (?:tasks\.py|anywhere).*\n", code[1], flags=re.MULTILINE
    )
    project = Project(empty_database, tmp_path)
    call_command("startproject", "mysite", tmp_path)
    (tmp_path / "shop").mkdir()
    call_command("startapp", "shop", tmp_path / "shop")
    project.append("mysite/settings.py", f"{settings}\nINSTALLED_APPS += ['shop']\n{DATABASES}")
    project.append("shop/tasks.py", tasks)
    project.append("shop/call.py", CALL.format(textwrap.indent(enqueue, "    ")))
    project.run("python manage.py migrate -v 0 && python manage.py shell -v 0 < shop/call.py")
    project.run("python manage.py pgq_worker --until-empty")
    states = "from pgq_django.models import Job; print(*Job.objects.values_list('state'))"
    assert project.run(f'python manage.py shell -v 0 -c "{states}"') == "('succeeded',)\n"


def test_batches_and_chains(db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's batch and chain run as they are printed, on tasks of a shop."""
    text = PAGE.read_text(encoding="utf-8").partition("\n## Batches and chains\n")[2]
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code
    shop: Any = ModuleType("shop.tasks")
    shop.resize, shop.summary, shop.publish = tasks.add, tasks.collect, tasks.collect
    monkeypatch.setitem(sys.modules, "shop", ModuleType("shop"))
    monkeypatch.setitem(sys.modules, "shop.tasks", shop)
    exec(compile(code[1], str(PAGE), "exec"), {"photos": [SimpleNamespace(id=7)]})
    assert [ran.outcome for ran in run_pending()] == ["succeeded"] * 5


def test_every_flag_is_explained() -> None:
    """The page names every flag of the worker and every option of a task."""
    from pgq_django.task_options import NAMES
    from pgq_django.worker.flags import OPTIONS

    text = PAGE.read_text(encoding="utf-8")
    for option in OPTIONS:
        assert f"`{option.flag}" in text
    for name in NAMES:
        assert f"`{name}" in text

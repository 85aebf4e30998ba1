"""Run Django's own Tasks cases against our backend: both lanes, then a broken backend.

    python tests/django/acceptance/run.py

Django's cases come from the source distribution of the Django installed here, the backport's from
its repository (PGQ_BACKPORT_REPOSITORY may name a copy). Exit code 0: all that apply have passed,
and the broken backend was noticed.
"""

# ruff: noqa: T201  (a program that reports)

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

from pgq_core.embedded import EmbeddedServer

HERE = Path(__file__).resolve().parent
HASHES = {
    "6.1.3": "b5d2d9e35295065d13b1927b3f19a59bd119f737aa6299def14ccca1ae3c8c0d",
    "6.0.10": "6005d030df924f85088454c18bd35dcf082b058aa355ad3df520d8de9aef9f41",
}
BACKPORT = "https://github.com/RealOrangeOne/django-tasks"
BACKPORT_COMMIT = "caaf809"  # 0.12.0
EXPECTED = {"6.1": 67, "6.0": 62, "5.2": 65}


def main() -> int:
    """Fetch the cases, run every lane, say what happened."""
    release = version("Django")
    series = ".".join(release.split(".")[:2])
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer() as server:
        place = Path(folder)
        cases = backport_cases(place) if series == "5.2" else django_cases(place, release)
        for lane in ("set", "swapped"):
            code, ran = run(server.dsn(), cases, PGQ_ACCEPTANCE_LANE=lane)
            print(f"Django {release}, TASKS {lane}: {ran} cases, exit code {code}")
            if code or ran != EXPECTED[series]:
                return 1
        code, ran = run(server.dsn(), cases, PGQ_ACCEPTANCE_BREAK="1")
        print(f"Django {release}, a broken backend: {'noticed' if code else 'NOT NOTICED'}")
        return 0 if code else 1


def django_cases(place: Path, release: str) -> Path:
    """The `tests` folder of Django's source distribution."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:",
               "-d", str(place), f"django=={release}"]  # fmt: skip
    subprocess.run(command, check=True)
    archive = next(place.glob("*.tar.gz"))
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if HASHES.get(release, found) != found:
        raise SystemExit(f"{archive.name} has the hash {found}, not the one known here")
    with tarfile.open(archive) as tar:
        tar.extractall(place, filter="data")
    return next(place.glob("[dD]jango-*/tests"))


def backport_cases(place: Path) -> Path:
    """The folder that holds the backport's package `tests`."""
    source = os.environ.get("PGQ_BACKPORT_REPOSITORY", BACKPORT)
    subprocess.run(["git", "clone", "-q", source, str(place / "backport")], check=True)
    command = ["git", "-C", str(place / "backport"), "checkout", "-q", BACKPORT_COMMIT, "tests"]
    subprocess.run(command, check=True)
    for name in ("django_tasks", "manage.py"):  # the installed release is what counts
        (place / "backport" / name).rename(place / f"{name}-unused")
    return place / "backport"


def run(dsn: str, cases: Path, **environment: str) -> tuple[int, int]:
    """One lane: its exit code and how many cases ran."""
    done = subprocess.run(
        [sys.executable, "-m", "django", "test", "acceptance.cases", "--noinput"],
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "acceptance.settings",
            "PGQ_TEST_DJANGO_DSN": dsn,
            # A case of 6.0 and 5.2 calls the sync refresh() on the loop; 6.1 has its own guard.
            "DJANGO_ALLOW_ASYNC_UNSAFE": "1",
            "PYTHONPATH": os.pathsep.join([str(cases), str(HERE.parent)]),
            **environment,
        },
        stderr=subprocess.STDOUT,
        stdout=subprocess.PIPE,
        text=True,
        cwd=cases,
        check=False,
    )
    if done.returncode and "PGQ_ACCEPTANCE_BREAK" not in environment:
        print(done.stdout)
    ran = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("Ran ")]
    return done.returncode, int(ran[0]) if ran else 0


if __name__ == "__main__":
    sys.exit(main())

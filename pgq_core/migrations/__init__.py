"""The schema, version by version: folder `v001` takes a database from version 0 to 1.

The files of a version run in order of their names, in one transaction, with `search_path` set to
the schema; functions keep it (`SET search_path FROM CURRENT`).
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from pgq_core.sql import quote

if TYPE_CHECKING:
    from importlib.abc import Traversable  # moved in 3.11, and the old place warns from 3.12 on


def versions() -> dict[int, Traversable]:
    """Every version with its folder, in order."""
    folders = [f for f in files(__name__).iterdir() if f.name.startswith("v") and f.is_dir()]
    return {int(f.name[1:]): f for f in sorted(folders, key=lambda f: f.name)}


VERSION = max(versions())


def script(version: int) -> str:
    """The SQL that takes a database from `version - 1` to `version`."""
    folder = versions()[version]
    parts = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return "\n".join(part.read_text(encoding="utf-8") for part in parts)


def upgrade_script(schema: str, found: int, target: int = VERSION) -> str:
    """One script from version `found` to `target`: run it in a transaction."""
    steps = [script(version) for version in versions() if found < version <= target]
    return "\n".join(
        [
            f"SET LOCAL search_path TO {quote(schema)}, pg_temp;",
            *steps,
            f"SELECT pgq_set_version({target:d});",
        ]
    )


def drop_script(schema: str) -> str:
    """Remove everything pgq created in the schema; the schema itself stays."""
    text = files(__name__).joinpath("uninstall.sql").read_text(encoding="utf-8")
    return f"SET LOCAL search_path TO {quote(schema)}, pg_temp;\n{text}"

"""In which schema of a database the tables live."""

from __future__ import annotations

import os
import re
from typing import Any

from django.db import connections

DEFAULT = "public"
_SEARCH_PATH = re.compile(r"(?:-c\s*|--)search[_-]path\s*=\s*((?:\\.|\S)+)")


def schema_of(using: str) -> str:
    """First of the alias's search_path (OPTIONS), else PGQ_SCHEMA, else `public`."""
    return searched(using) or os.environ.get("PGQ_SCHEMA") or DEFAULT


def searched(using: str) -> str | None:
    """The first schema of the alias's search_path, as far as OPTIONS state one."""
    options: dict[str, Any] = connections.settings.get(using, {}).get("OPTIONS", {})
    found = _SEARCH_PATH.search(str(options.get("options", "")))
    listed = found[1].replace("\\", "").split(",") if found else ()
    for name in (part.strip(" \"'") for part in listed):
        if name and not name.startswith("$"):
            return name
    return None

"""What the surroundings say: whether to work here, and whether a reloader waits for us."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pgq_core.errors import InvalidInput

ON, OFF = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def wants_worker() -> bool:
    """Yes, unless the variable PGQ_WORKER says no. Raises InvalidInput for other words."""
    word = os.environ.get("PGQ_WORKER", "").strip().lower()
    if word and word not in (*ON, *OFF):
        raise InvalidInput(f"PGQ_WORKER={word!r}: set it to 1 or 0")
    return word not in OFF


def reloading() -> bool:
    """Whether a development server restarts us at every change and waits until we are gone."""
    arguments = sys.argv[1:]
    program = Path(sys.argv[0] if sys.argv else "")
    name = program.parent.name if program.name == "__main__.py" else program.name  # python -m …
    if name == "fastapi" and arguments[:1] == ["dev"]:
        return "--no-reload" not in arguments
    return "--reload" in arguments or os.environ.get("UVICORN_RELOAD", "").lower() in ON

"""What a worker beside an app learns from how the app was started."""

from __future__ import annotations

import sys

import pytest

from pgq_fastapi.environment import reloading


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("/bin/fastapi dev main.py", True),
        ("/lib/fastapi/__main__.py dev main.py", True),
        ("/bin/fastapi dev --no-reload main.py", False),
        ("/bin/fastapi run main.py", False),
        ("/bin/fastapi run --reload main.py", True),
        ("/bin/uvicorn main:app --reload", True),
        ("/lib/uvicorn/__main__.py main:app --reload", True),
        ("/bin/uvicorn main:app", False),
        ("/srv/shop/__main__.py dev", False),
    ],
)
def test_a_reloader_is_noticed(line: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A development server that restarts the app at every change is known, however it was begun."""
    monkeypatch.delenv("UVICORN_RELOAD", raising=False)
    monkeypatch.setattr(sys, "argv", line.split())
    assert reloading() is expected

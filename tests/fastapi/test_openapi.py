"""The OpenAPI schema is complete, and true under fire."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from fastapi import Depends, FastAPI

from pgq_core.queries import Queries
from pgq_fastapi import pgq_router
from tests.fastapi.conftest import Serve
from tests.support import eventually

FULL = "tests.fastapi.apps.full:app"


def guard() -> None:
    """Anybody's."""


def test_every_route_is_described() -> None:
    """Each route has a summary, its answers have schemas, and nothing is hidden."""
    app = FastAPI()
    app.include_router(
        pgq_router(jobs=True, manage=True, status=True, dependencies=[Depends(guard)])
    )
    for path, methods in app.openapi()["paths"].items():
        for method, route in methods.items():
            assert route["summary"], (method, path)
            assert route["tags"] == ["pgq"]
            content = route["responses"]["200"]["content"]
            assert all(body["schema"] for body in content.values()), (method, path)
            if "{id}" in path:
                assert "404" in route["responses"]
            if "jobs" in path:
                assert "503" in route["responses"]


@pytest.mark.skipif(find_spec("schemathesis") is None, reason="not installed: schemathesis")
async def test_schema_holds_under_fuzzing(
    serve: Serve, conn: Any, queries: Queries, tmp_path: Path
) -> None:
    """schemathesis finds no request that is answered otherwise than the schema says."""
    command = ["uvicorn", "--port", "0"]
    server = serve(FULL, command=command)

    async def port() -> str:
        found = re.search(r"running on http://127\.0\.0\.1:(\d+)", server.output())
        return found[1] if found else ""

    address = f"http://127.0.0.1:{await eventually(port)}"
    await queries.enqueue(["echo", "echo"], payloads=[b"\xff", b'{"a": 1}'])

    async def done() -> bool:
        return bool(await conn.fetchval("SELECT count(*) FROM pgq_attempts") == 2)

    await eventually(done)
    run = await asyncio.to_thread(
        subprocess.run,
        [
            sys.executable, "-m", "schemathesis.cli", "run", f"{address}/openapi.json",
            "--header", "token: ann", "--max-examples", "25", "--seed", "1",
            "--request-timeout", "10", "--phases", "coverage,fuzzing",
            "--generation-database", "none",
        ],
        capture_output=True, text=True, check=False, timeout=100, cwd=tmp_path,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]

"""A Django site and a FastAPI service on one database: jobs go both ways, and none is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.examples.test_fastapi_shop import count, holds_jobs
from tests.fastapi.conftest import Serve
from tests.fastapi.served import ROOT, Served
from tests.support import eventually

pytest.importorskip("django")
pytest.importorskip("gunicorn")
if sys.version_info < (3, 12):
    pytest.importorskip("django_tasks")

SITE = ROOT / "example_projects" / "mixed" / "site"
SERVICE = ROOT / "example_projects" / "mixed" / "service"
COUNT = 60


def manage(dsn: str, *arguments: str) -> list[str]:
    """A command of the site's."""
    return [sys.executable, "manage.py", *arguments]


def environment(dsn: str) -> dict[str, str]:
    return {**os.environ, "PGQ_DSN": dsn, "PYTHONPATH": f"{ROOT}{os.pathsep}{SITE}"}


class SiteWorker:
    """`manage.py pgq_worker` for the site's queue."""

    def __init__(self, dsn: str, log: Path) -> None:
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                manage(dsn, "pgq_worker", "--queue", "letters"), cwd=SITE, env=environment(dsn),
                stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def serve_site(serve: Serve, tmp_path: Path, number: int) -> Served:
    command = ["gunicorn", "--bind", f"unix:{tmp_path}/{number}.sock", "--no-control-socket"]
    return serve("office.wsgi:application", command=command, cwd=SITE)


async def test_jobs_go_both_ways_and_none_is_lost(
    serve: Serve, empty_database: str, connect: Any, tmp_path: Path
) -> None:
    """Django enqueues for FastAPI's worker and FastAPI for Django's; a kill and a deploy lose
    nothing."""
    migrate = manage(empty_database, "migrate", "-v", "0")
    await asyncio.to_thread(
        subprocess.run, migrate, cwd=SITE, env=environment(empty_database), check=True
    )
    conn = await connect()
    site = serve_site(serve, tmp_path, 0)
    old = await serve("main:app", cwd=SERVICE).up()
    letters = SiteWorker(empty_database, tmp_path / "letters.log")
    try:
        await eventually(lambda: answers(site))
        async with site.client() as client:
            for number in range(COUNT):
                answer = await client.post("/pictures/", json={"name": f"picture {number}"})
                assert answer.status_code == 200
                if number == COUNT // 3:
                    await eventually(lambda: written(conn))
                    letters.kill()  # a worker dies
                    letters = SiteWorker(empty_database, tmp_path / "letters again.log")
                if number == COUNT // 2:
                    await eventually(holds_jobs(conn, old))
                    new = await serve("main:app", cwd=SERVICE).up()  # a deploy
                    old.send(signal.SIGTERM)
                    await old.ended()
                    assert new.process.poll() is None

        async def all_written() -> bool:
            return await count(conn, "office_letter") == COUNT

        await eventually(all_written, patience=60)
        assert await count(conn, "office_picture WHERE thumbnail LIKE 'small picture %'") == COUNT
        assert await count(conn, "pgq_jobs WHERE entrypoint = 'thumbnail'") == COUNT
        assert await count(conn, "pgq_jobs WHERE entrypoint = 'office.tasks.write_letter'") == COUNT
        assert await count(conn, "pgq_attempts WHERE outcome = 'failed'") == 0
    finally:
        letters.kill()


async def answers(site: Served) -> bool:
    import httpx

    assert site.process.poll() is None, site.output()
    try:
        async with site.client() as client:
            return bool((await client.get("/")).status_code == 404)
    except httpx.TransportError:
        return False


async def written(conn: Any) -> bool:
    return await count(conn, "office_letter") > 0

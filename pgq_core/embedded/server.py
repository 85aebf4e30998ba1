"""The server: start it, name it, stop it."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal
from urllib.parse import quote

from pgq_core.embedded.account import Account
from pgq_core.embedded.binaries import find_binaries
from pgq_core.embedded.cluster import SUPERUSER, Cluster
from pgq_core.embedded.keeper import Keeper
from pgq_core.errors import EmbeddedServerError

StopMode = Literal["fast", "immediate"]
START_PATIENCE = 60.0
LOOK_AGAIN = 0.005
READY_LINE = 7
"""Which line of postmaster.pid says whether the server takes connections."""


class EmbeddedServer:
    """A PostgreSQL server of our own; it stops with this process, however that ends.

    Without ``data_dir`` the data lives in a temporary directory and is gone after ``stop``.
    Clients come in through a Unix socket only this user (and root) can open; ``tcp=True`` adds a
    loopback port with a random password. ``settings`` are PostgreSQL's own. The DSN stays the
    same over ``restart`` and over ``stop`` and ``start``.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike[str] | None = None,
        *,
        settings: Mapping[str, str] | None = None,
        tcp: bool = False,
    ) -> None:
        self._data_dir = Path(data_dir).absolute() if data_dir is not None else None
        self._settings = dict(settings or {})
        self._tcp = tcp
        self._port = 5432
        self._password = secrets.token_urlsafe(24)
        self._run: Path | None = None
        self._keeper: Keeper | None = None

    def __enter__(self) -> EmbeddedServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the server process is there, as far as its watchdog knows."""
        return self._keeper is not None and self._keeper.alive

    @property
    def pid(self) -> int:
        """The process id of the server itself (the postmaster)."""
        if self._keeper is None:
            raise EmbeddedServerError("The embedded server is not started.")
        return self._keeper.server_pid

    @property
    def log(self) -> str:
        """What the server has written so far."""
        path = self._directory / "server.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def dsn(self, database: str = "postgres") -> str:
        """How clients reach ``database`` on this server."""
        name = quote(database, safe="")
        if self._tcp:
            return f"postgresql://{SUPERUSER}:{self._password}@127.0.0.1:{self._port}/{name}"
        directory = quote(str(self._directory), safe="/")
        return f"postgresql://{SUPERUSER}@/{name}?host={directory}&port={self._port}"

    def start(self) -> None:
        """Start the server and return once it takes connections."""
        if self.running:
            return
        self._halt("immediate")  # what is left of one that ended by itself
        try:
            self._start(Account.current())
        except BaseException:
            self.stop("immediate")
            raise

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server; "immediate" is the crash that recovery is for. Temporary data goes."""
        if self._keeper is not None and self._keeper.forked:
            return
        self._halt(mode)
        if self._run is not None:
            shutil.rmtree(self._run, ignore_errors=True)

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop and start again under the same DSN, with the same data, temporary or not."""
        self._halt(mode)
        self.start()

    @property
    def _directory(self) -> Path:
        if self._run is None:
            raise EmbeddedServerError("The embedded server is not started.")
        return self._run

    def _start(self, account: Account) -> None:
        run = self._prepare_run_directory(account)
        data = self._data_dir or run / "data"
        binaries = account.reachable_binaries(find_binaries(), run)
        cluster = Cluster(data, binaries, account)
        cluster.create(throw_away=self._data_dir is None)
        if self._tcp:
            cluster.set_password(self._password)
        command = cluster.serve_command(run, self._port, tcp=self._tcp, settings=self._settings)
        self._keeper = Keeper(command, account.popen_options, run, run / "server.log")
        self._wait_until_ready(data / "postmaster.pid")

    def _prepare_run_directory(self, account: Account) -> Path:
        """The socket's directory; under the same name as before, if there was one."""
        if self._run is None:
            self._run = account.temporary_directory()
            self._port = _free_port() if self._tcp else self._port
        elif not self._run.exists():
            self._run.mkdir(mode=0o700)
            account.own(self._run)
        return self._run

    def _wait_until_ready(self, status: Path) -> None:
        deadline = time.monotonic() + START_PATIENCE
        while not _says_ready(status, self.pid):
            if not self.running:
                raise EmbeddedServerError(f"The server did not start:\n{self._last_words()}")
            if time.monotonic() > deadline:
                raise EmbeddedServerError(
                    f"The server was not ready after {START_PATIENCE:.0f} s:\n{self._last_words()}"
                )
            time.sleep(LOOK_AGAIN)

    def _last_words(self) -> str:
        return "\n".join(self.log.splitlines()[-15:])

    def _halt(self, mode: StopMode) -> None:
        if self._keeper is not None:
            self._keeper.stop(mode)
        self._keeper = None


def _says_ready(status: Path, pid: int) -> bool:
    try:
        lines = status.read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) > READY_LINE and lines[0] == str(pid) and lines[READY_LINE].strip() == "ready"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

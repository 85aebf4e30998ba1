"""PgBouncer on a loopback port, in front of the tests' server."""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from pgq_core.embedded.account import Account
from tests.support import until

PATHS = ("/usr/sbin/pgbouncer", "/usr/local/sbin/pgbouncer")

CONFIG = """\
[databases]
* = {server}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = md5
auth_file = {directory}/users.txt
pool_mode = {mode}
default_pool_size = {size}
max_client_conn = 200
server_login_retry = 1
logfile = {directory}/pgbouncer.log
"""


def find_pgbouncer() -> str | None:
    """The program, if it is installed."""
    return shutil.which("pgbouncer") or next((p for p in PATHS if Path(p).exists()), None)


class Bouncer:
    """One PgBouncer process, run as no root; clients come in with a random password."""

    def __init__(self, program: str, server_dsn: str, mode: str, size: int = 4) -> None:
        account = Account.current()
        self.directory = account.temporary_directory(prefix="pgq-bouncer-")
        self.password = secrets.token_hex(16)
        self.port = free_port()
        config = CONFIG.format(
            server=server_line(server_dsn), port=self.port, directory=self.directory, mode=mode,
            size=size,
        )  # fmt: skip
        self._write(account, "pgbouncer.ini", config)
        self._write(account, "users.txt", f'"pgq" "{self.password}"\n')
        self._program, self._account = program, account
        self._process = self._start()
        until(self._answers, what="pgbouncer listens")

    def dsn(self, direct: str) -> str:
        """How clients reach the database of the direct DSN through here."""
        database = urlsplit(direct).path.lstrip("/")
        return f"postgresql://pgq:{self.password}@127.0.0.1:{self.port}/{database}"

    def restart(self) -> None:
        """Kill the process; another takes its place on the same port."""
        self._process.kill()
        self._process.wait(10)
        self._process = self._start()
        until(self._answers, what="pgbouncer listens again")

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [self._program, str(self.directory / "pgbouncer.ini")],
            cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            **self._account.popen_options,
        )  # fmt: skip

    def stop(self) -> None:
        """End the process and remove its files."""
        self._process.terminate()
        self._process.wait(10)
        shutil.rmtree(self.directory)

    def _answers(self) -> bool:
        assert self._process.poll() is None, (self.directory / "pgbouncer.log").read_text()
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def _write(self, account: Account, name: str, text: str) -> None:
        path = self.directory / name
        path.write_text(text)
        account.own(path)


def server_line(dsn: str) -> str:
    """The server as PgBouncer's configuration names it."""
    parts = urlsplit(dsn)
    query = parse_qs(parts.query)
    host = parts.hostname or query.get("host", ["127.0.0.1"])[0]
    port = parts.port or query.get("port", ["5432"])[0]
    line = f"host={host} port={port} user={unquote(parts.username or 'postgres')}"
    return f"{line} password={unquote(parts.password)}" if parts.password else line


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

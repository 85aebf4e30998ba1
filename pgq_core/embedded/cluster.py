"""A data directory: creating it, and the command that serves it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from pgq_core.embedded.account import Account
from pgq_core.errors import EmbeddedServerError

SUPERUSER = "postgres"
SOCKET_ONLY = "local all all trust\n"
SOCKET_AND_LOOPBACK = SOCKET_ONLY + "host all all 127.0.0.1/32 scram-sha-256\n"
NEEDED = {
    "PATH", "HOME", "TMPDIR", "TZ", "TZDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "ICU_DATA",
    "SYSTEMROOT",
}  # fmt: skip


@dataclass(frozen=True)
class Cluster:
    """One data directory, the binaries that fit it and the account that owns it."""

    data: Path
    binaries: Path
    account: Account

    def create(self, *, throw_away: bool) -> None:
        """Run initdb, unless the directory already holds a cluster."""
        if (self.data / "PG_VERSION").exists():
            return
        self.data.mkdir(parents=True, exist_ok=True)
        if any(self.data.iterdir()):
            raise EmbeddedServerError(
                f"{self.data} is neither empty nor a PostgreSQL data directory."
            )
        self.account.own(self.data)
        locale = "C.UTF-8" if sys.platform == "linux" else "C"
        options = [
            "-D",
            str(self.data),
            "-U",
            SUPERUSER,
            "-A",
            "trust",
            "-E",
            "UTF8",
            f"--locale={locale}",
        ]
        options += ["--no-sync"] if throw_away else []
        self._run("initdb", options, "The data directory could not be created")

    def set_password(self, password: str) -> None:
        """Give the superuser a password, in single-user mode: no client is needed for it."""
        options = [
            "--single",
            "-D",
            str(self.data),
            "-c",
            "password_encryption=scram-sha-256",
            SUPERUSER,
        ]
        statement = f"ALTER ROLE {SUPERUSER} PASSWORD '{password}'"
        self._run("postgres", options, "The password could not be set", statement)

    def serve_command(
        self, run: Path, port: int, *, tcp: bool, settings: dict[str, str]
    ) -> list[str]:
        """The server's command line. What it needs to know is said here, not in the data
        directory's files, so a kept directory works under another path, port or user."""
        access = run / "pg_hba.conf"
        access.write_text(SOCKET_AND_LOOPBACK if tcp else SOCKET_ONLY)
        access.chmod(0o644)
        said = {
            "hba_file": str(access),
            "listen_addresses": "127.0.0.1" if tcp else "",
            "port": str(port),
            "unix_socket_directories": str(run),
            **settings,
        }
        options = [part for name, value in said.items() for part in ("-c", f"{name}={value}")]
        return [str(self.binaries / "postgres"), "-D", str(self.data), *options]

    def _run(self, program: str, options: list[str], failure: str, stdin: str = "") -> None:
        done = subprocess.run(
            [self.binaries / program, *options],
            cwd="/",
            env=clean_environment(),
            input=stdin,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            **self.account.popen_options,
        )
        if done.returncode != 0:
            account = f" (run as {self.account.user!r}, because PostgreSQL refuses root)"
            raise EmbeddedServerError(
                f"{failure}{account if self.account.user else ''}:\n{done.stdout.strip()}"
            )


def clean_environment() -> dict[str, str]:
    """What programs need of ours, and nothing else: the server would obey PGPORT and its relatives,
    and others may run under its account, who can read what it was started with."""
    inherited = {name: value for name, value in os.environ.items() if name in NEEDED}
    return {**inherited, "LC_ALL": "C"}

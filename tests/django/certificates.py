"""Certificates for a server on 127.0.0.1 and a client, made by openssl; and a server with them.

The PostgreSQL of the [embedded] extra is built without TLS, so this is an installed one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from pgq_core.embedded import EmbeddedServer
from pgq_core.embedded.account import Account

# Over the network only with TLS, a password, and a client's certificate by our authority.
ACCESS = """
local   all all                trust
hostssl all all 127.0.0.1/32   scram-sha-256 clientcert=verify-ca
"""


PLACES = ("lib/postgresql/*/bin", "pgsql-*/bin")
BINARIES = [found for place in PLACES for found in sorted(Path("/usr").glob(place))]
POSSIBLE = bool(BINARIES and shutil.which("openssl"))


class Certificates:
    """Keys and certificates in one directory that the server's account can read."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.sign("ca")
        self.sign("server", "-addext", "subjectAltName=IP:127.0.0.1", *self._by_authority)
        self.sign("client", *self._by_authority)
        self.sign("stranger")

    def sign(self, name: str, *options: str) -> None:
        """A key and a certificate, signed by itself or, with options, by the authority."""
        subprocess.run(
            ["openssl", "req", "-x509", "-nodes", "-days", "2", "-newkey", "ec",
             "-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", f"/CN={name}",
             "-keyout", self.key(name), "-out", self.certificate(name), *options],
            check=True, capture_output=True,
        )  # fmt: skip

    @property
    def _by_authority(self) -> tuple[str, ...]:
        return ("-CA", self.certificate("ca"), "-CAkey", self.key("ca"))

    def certificate(self, name: str) -> str:
        """The path of a certificate."""
        return str(self.directory / f"{name}.crt")

    def key(self, name: str) -> str:
        """The path of a key."""
        return str(self.directory / f"{name}.key")

    @property
    def server_settings(self) -> dict[str, str]:
        """What the server must be told."""
        access = self.directory / "pg_hba.conf"
        access.write_text(ACCESS)
        return {
            "ssl": "on",
            "ssl_cert_file": self.certificate("server"),
            "ssl_key_file": self.key("server"),
            "ssl_ca_file": self.certificate("ca"),
            "hba_file": str(access),
            "fsync": "off",
        }


@contextmanager
def secure_server() -> Iterator[tuple[EmbeddedServer, Certificates]]:
    """A server that speaks TLS alone, and its certificates."""
    account = Account.current()
    directory = account.temporary_directory()
    try:
        made = Certificates(directory)
        settings = made.server_settings
        for path in (directory / "server.key", directory / "pg_hba.conf"):
            account.own(path)
            path.chmod(0o600)
        server = EmbeddedServer(settings=settings, tcp=True)
        with patch.dict(os.environ, {"PGQ_POSTGRES_BIN": str(BINARIES[-1])}):
            server.start()
        with server:
            yield server, made
    finally:
        shutil.rmtree(directory)

"""Workers over TLS, with certificates checked on both sides; and several hosts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

import pgq_django
from pgq_core.embedded import EmbeddedServer
from pgq_django.models import Attempt
from tests.django.certificates import POSSIBLE, Certificates, secure_server
from tests.django.settings import database as entry_of
from tests.django.shop import tasks
from tests.django.support import alias_on
from tests.django.test_shop import free_port

pytestmark = pytest.mark.skipif(
    not POSSIBLE and "PGQ_TEST_REQUIRED" not in os.environ,
    reason="no openssl, or no installed PostgreSQL",
)
Secure = tuple[EmbeddedServer, Certificates]


@pytest.fixture(scope="module")
def secure() -> Iterator[Secure]:
    """A server that speaks TLS alone, with Django's tables in it."""
    with secure_server() as (server, certificates):
        done = manage("migrate", "-v0", dsn=dsn_with(server.dsn(), **trusting(certificates)))
        assert done.returncode == 0, done.stderr
        yield server, certificates


def trusting(certificates: Certificates, authority: str = "ca") -> dict[str, str]:
    """OPTIONS that check the server and show who we are."""
    return {
        "sslmode": "verify-full",
        "sslrootcert": certificates.certificate(authority),
        "sslcert": certificates.certificate("client"),
        "sslkey": certificates.key("client"),
    }


def dsn_with(dsn: str, **options: str) -> str:
    """A DSN with libpq's options."""
    return f"{dsn}?{urlencode(options)}"


def manage(*arguments: str, dsn: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command of a site whose `default` database this is."""
    settings = {"DJANGO_SETTINGS_MODULE": "tests.django.settings", "PGQ_TEST_DJANGO_DSN": dsn}
    return subprocess.run(
        [sys.executable, "-m", "django", *arguments],
        env={**os.environ, **settings, **environment}, check=False, capture_output=True, text=True,
    )  # fmt: skip


def worked(dsn: str, **environment: str) -> bool:
    """Whether a job enqueued over this DSN is run by a worker over the same."""
    with alias_on(dsn):
        made = pgq_django.enqueue(tasks.add, args=[1, 2], using="other")
        done = manage("pgq_worker", "--until-empty", dsn=dsn, **environment)
        assert done.returncode == 0, done.stderr
        return bool(Attempt.objects.using("other").get(job_id=made).result == 3)


def test_the_server_is_checked(secure: Secure) -> None:
    """With sslmode=verify-full and a client certificate Django and its worker are let in."""
    server, certificates = secure
    assert worked(dsn_with(server.dsn(), **trusting(certificates)))


def test_encrypted_but_unchecked(secure: Secure) -> None:
    """sslmode=require encrypts, and asks no authority."""
    server, certificates = secure
    options = {**trusting(certificates), "sslmode": "require"}
    del options["sslrootcert"]
    assert worked(dsn_with(server.dsn(), **options))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"sslmode": "disable"}, "no pg_hba.conf entry"),
        ({"sslrootcert": "stranger"}, "certificate verify failed"),
        ({"sslrootcert": "missing"}, "No such file"),
    ],
)
def test_a_connection_that_is_refused(secure: Secure, changed: dict[str, str], said: str) -> None:
    """A worker that may not connect says why, names the entry of DATABASES, and shows no password."""
    server, certificates = secure
    options = trusting(certificates) | changed
    if "sslrootcert" in changed:
        options["sslrootcert"] = certificates.certificate(changed["sslrootcert"])
    done = manage("pgq_worker", "--until-empty", dsn=dsn_with(server.dsn(), **options))
    assert done.returncode == 1
    assert said in done.stderr
    assert "DATABASES['default']" in done.stderr
    assert entry_of(server.dsn())["PASSWORD"] not in done.stderr


def test_by_service_and_passfile(secure: Secure, tmp_path: Path) -> None:
    """Host, database and certificates may stand in libpq's service file, the password in .pgpass."""
    server, certificates = secure
    entry = entry_of(server.dsn())
    service = {"host": entry["HOST"], "port": entry["PORT"], "dbname": entry["NAME"],
               "user": entry["USER"], **trusting(certificates)}  # fmt: skip
    lines = "\n".join(f"{name}={value}" for name, value in service.items())
    (tmp_path / "services").write_text(f"[queue]\n{lines}\n")
    (tmp_path / "pass").write_text(f"*:*:*:*:{entry['PASSWORD']}\n")
    (tmp_path / "pass").chmod(0o600)
    options = {"service": "queue", "passfile": str(tmp_path / "pass")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
        assert worked(dsn_with("postgresql://", **options))


def test_several_hosts(secure: Secure) -> None:
    """Of several hosts the first that answers is taken, by Django and by its worker."""
    server, certificates = secure
    entry = entry_of(server.dsn())
    hosts: dict[str, Any] = {"host": "127.0.0.1,127.0.0.1",
                             "port": f"{free_port()},{entry['PORT']}"}  # fmt: skip
    login = f"{entry['USER']}:{entry['PASSWORD']}"
    address = f"postgresql://{login}@/{entry['NAME']}"
    assert worked(dsn_with(address, **trusting(certificates), **hosts))

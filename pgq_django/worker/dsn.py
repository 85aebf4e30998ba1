"""An entry of DATABASES as what asyncpg connects with."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import asyncpg
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from pgq_django.exceptions import NotPostgreSQL

# Django's or psycopg's own; they mean nothing to a connection of the worker's.
IGNORED = {
    "pool", "isolation_level", "server_side_binding", "prepare_threshold", "cursor_factory",
    "context", "client_encoding", "keepalives", "keepalives_idle", "keepalives_interval",
    "keepalives_count", "tcp_user_timeout", "fallback_application_name",
}  # fmt: skip
# libpq's words that asyncpg reads in a DSN.
PASSED = {
    "sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslpassword", "passfile",
    "target_session_attrs", "krbsrvname", "gsslib", "ssl_min_protocol_version",
    "ssl_max_protocol_version", "application_name",
}  # fmt: skip
if "service" in inspect.signature(asyncpg.connect).parameters:  # asyncpg 0.31 and later
    PASSED |= {"service", "sslnegotiation"}
RENAMED = {"assume_role": "role"}
_SETTING = re.compile(r"([a-zA-Z_][\w.]*)=(.*)", re.DOTALL)


def dsn_of(using: str) -> str:
    """The DSN of an alias. Raises ImproperlyConfigured naming what cannot be translated, and
    NotPostgreSQL."""
    if connections[using].vendor != "postgresql":
        raise NotPostgreSQL(using, connections[using].vendor)
    settings = connections[using].settings_dict
    query = query_of(using, dict(settings.get("OPTIONS") or {}))
    user = quote(str(settings.get("USER") or query.pop("user", "")), safe="")
    password = quote(str(settings.get("PASSWORD") or query.pop("password", "")), safe="")
    login = f"{user}:{password}@" if password else f"{user}@" if user else ""
    hosts, ports = (str(settings.get(key) or "") for key in ("HOST", "PORT"))
    query.update(hosts_of(using, hosts, ports))
    name = quote(str(settings.get("NAME") or query.pop("dbname", "") or ""), safe="")
    path = f"/{name}" if name else ""  # an empty path would overrule a service's dbname
    return f"postgresql://{login}{path}" + (f"?{urlencode(query)}" if query else "")


def hosts_of(using: str, hosts: str, ports: str) -> dict[str, str]:
    """One host or several: IPv6 addresses in brackets, and a port that is left out written out.
    Raises ImproperlyConfigured: one port is for all hosts, else each has its own."""
    names = [name.strip() for name in hosts.split(",")] if hosts else []
    numbers = [number.strip() or "5432" for number in ports.split(",")] if ports else []
    if not all(names) or not all(number.isdecimal() for number in numbers):
        problem = "give a name or an address to each host, and a number to each port"
    elif len(numbers) > 1 and len(numbers) != len(names):
        problem = (
            f"{len(names)} hosts, {len(numbers)} ports: give one port for all, or each its own"
        )
    else:
        wrapped = (f"[{n}]" if ":" in n and n[0] not in "/[" else n for n in names)
        found = {"host": ",".join(wrapped), "port": ",".join(numbers)}
        return {key: value for key, value in found.items() if value}
    raise ImproperlyConfigured(
        f"DATABASES[{using!r}]: HOST={hosts!r}, PORT={ports!r} cannot be translated for the "
        f"worker's connection; {problem}"
    )


def query_of(using: str, options: dict[str, Any]) -> dict[str, str]:
    """DATABASES[…]["OPTIONS"] as the query of a DSN."""
    query: dict[str, str] = {}
    for key, value in options.items():
        if key in IGNORED or value is None:
            continue
        if key == "options":
            query.update(server_settings(using, str(value)))
        elif key == "connect_timeout":
            continue  # the worker has limits of its own
        elif (key, value) == ("sslrootcert", "system"):
            raise refused(using, key, "give the path of a file, the system's certificates perhaps: "
                          "/etc/ssl/certs/ca-certificates.crt")  # fmt: skip
        elif key in PASSED or key in RENAMED or key in ("user", "password", "dbname"):
            query[RENAMED.get(key, key)] = str(value)
        else:
            raise refused(using, key, "remove it, or run the worker on an alias without it")
    return query


def refused(using: str, key: str, way_out: str) -> ImproperlyConfigured:
    """The error for an option that the worker's connection cannot have."""
    return ImproperlyConfigured(
        f"DATABASES[{using!r}]['OPTIONS'][{key!r}] cannot be translated for the worker's "
        f"connection (asyncpg); {way_out}"
    )


def server_settings(using: str, text: str) -> dict[str, str]:
    """`-c a=b --c-d=e` as settings of the server."""
    found = {}
    for word in assignments(text):
        match = _SETTING.fullmatch(word)
        if match is None:
            raise ImproperlyConfigured(
                f"DATABASES[{using!r}]['OPTIONS']['options']: {word!r} cannot be translated for "
                "the worker's connection; give settings as in '-c name=value'"
            )
        found[match[1]] = match[2]
    return found


def assignments(text: str) -> Iterator[str]:
    """The `name=value` parts of a command line for the server."""
    words = iter(shlex.split(text))
    for word in words:
        if word == "-c":
            yield next(words, "")
        elif word.startswith("-c"):
            yield word[2:]
        elif word.startswith("--"):
            name, _, value = word[2:].partition("=")
            yield f"{name.replace('-', '_')}={value}"
        else:
            yield word

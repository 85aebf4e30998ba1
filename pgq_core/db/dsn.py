"""Addresses of databases: as asyncpg takes them, and as people may see them."""

from __future__ import annotations

import re

# In a URL's parameters, or in libpq's key=value form, which asyncpg refuses but people try.
_PASSWORD = re.compile(r"(password\s*=\s*)('(?:[^'\\]|\\.)*'|[^&\s]*)", re.IGNORECASE)
_DRIVER = re.compile(r"^(postgres(?:ql)?)\+(\w+)(?=://)", re.IGNORECASE)


def plain_dsn(dsn: str | None) -> str | None:
    """A DSN as asyncpg takes it. SQLAlchemy's names a driver (`postgresql+asyncpg://`), and with
    asyncpg calls sslmode ssl."""
    if dsn is None or (named := _DRIVER.match(dsn)) is None:
        return dsn
    plain = named[1] + dsn[named.end() :]
    return re.sub(r"([?&])ssl=", r"\1sslmode=", plain) if named[2] == "asyncpg" else plain


def hide_password(dsn: str) -> str:
    """A DSN that can be shown to people: no password before the @, nor among the parameters."""
    shown = _PASSWORD.sub(r"\1***", dsn)
    scheme, found, rest = shown.partition("://") if "://" in shown else ("", "", shown)
    user, at, host = rest.rpartition("@")
    return f"{scheme}{found}{user.partition(':')[0]}@{host}" if at else shown

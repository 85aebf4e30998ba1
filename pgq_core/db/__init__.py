"""Drivers: how pgq reaches PostgreSQL through an asyncpg connection or pool."""

from pgq_core.db.asyncpg_drivers import AsyncpgDriver, AsyncpgPoolDriver
from pgq_core.db.connecting import connector, connector_like, connector_of
from pgq_core.db.driver import Connect, Connection, Driver
from pgq_core.db.dsn import hide_password, plain_dsn
from pgq_core.db.transaction import begun
from pgq_core.db.trouble import DISCONNECTED, UNREACHABLE, pause_after, unreachable

__all__ = [
    "DISCONNECTED",
    "UNREACHABLE",
    "AsyncpgDriver",
    "AsyncpgPoolDriver",
    "Connect",
    "Connection",
    "Driver",
    "begun",
    "connector",
    "connector_like",
    "connector_of",
    "hide_password",
    "pause_after",
    "plain_dsn",
    "unreachable",
]

"""Statements on a connection of the caller's: inside its transaction, whatever library it is of."""

from pgq_core.borrowed.kinds import Kind, fetch, fetch_sync, kind_of

__all__ = ["Kind", "fetch", "fetch_sync", "kind_of"]

"""Statements on a connection of the caller's: inside its transaction, whatever library it is of."""

from pgq_core.borrowed.kinds import Kind, fetch, fetch_sync, kind_of
from pgq_core.borrowed.transaction import ending

__all__ = ["Kind", "ending", "fetch", "fetch_sync", "kind_of"]

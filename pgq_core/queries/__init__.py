"""The database's verbs: one method, one statement."""

from pgq_core.queries.facade import Queries

__all__ = ["Queries"]

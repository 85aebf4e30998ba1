"""pgq in a FastAPI or Starlette app: workers in the lifespan, enqueue in the request's transaction.

`PgqDep`, `pgq_router` and what belongs to them need FastAPI; the rest works with Starlette alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pgq_fastapi.errors import LifespanMissing, Unprotected
from pgq_fastapi.lifespan import pgq_lifespan
from pgq_fastapi.runtime import pgq_of

if TYPE_CHECKING:
    from pgq_fastapi.dependency import PgqDep, get_pgq
    from pgq_fastapi.events import job_events, job_status
    from pgq_fastapi.metrics import Metrics
    from pgq_fastapi.router import pgq_router

__all__ = [
    "LifespanMissing",
    "Metrics",
    "PgqDep",
    "Unprotected",
    "get_pgq",
    "job_events",
    "job_status",
    "pgq_lifespan",
    "pgq_of",
    "pgq_router",
]

_LATER = {
    "PgqDep": "dependency",
    "get_pgq": "dependency",
    "job_events": "events",
    "job_status": "events",
    "Metrics": "metrics",
    "pgq_router": "router",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(f"pgq_fastapi.{_LATER[name]}"), name)
    raise AttributeError(f"module 'pgq_fastapi' has no attribute {name!r}")

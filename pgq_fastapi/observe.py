"""Count and trace where the libraries for it are installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pgq_core import PgQueuer
    from pgq_fastapi.metrics import Metrics


def observed(pgq: PgQueuer, metrics: Metrics | bool | None, tracing: bool | None) -> Metrics | None:
    """Give the queue its hooks, each once however often the app starts; returns what counts."""
    if tracing or (tracing is None and find_spec("opentelemetry") is not None):
        _trace(pgq)
    if metrics is None:
        metrics = find_spec("prometheus_client") is not None
    if metrics is False:
        return None
    counted = _default() if metrics is True else metrics
    if counted not in pgq.hooks:
        pgq.hooks.append(counted)
    return counted


def _trace(pgq: PgQueuer) -> None:
    from pgq_core.tracing import Tracing  # noqa: PLC0415  (an extra)

    if not any(isinstance(hook, Tracing) for hook in pgq.hooks):
        pgq.hooks.append(Tracing())


def _default() -> Metrics:
    from pgq_fastapi.metrics import default_metrics  # noqa: PLC0415  (an extra)

    return default_metrics()

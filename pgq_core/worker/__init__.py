"""The loop that claims and runs jobs."""

from pgq_core.worker.worker import Worker

__all__ = ["Worker"]

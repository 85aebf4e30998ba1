"""`pgq_router`: probes, metrics, and, behind dependencies of yours, jobs and their status."""

from pgq_fastapi.router.build import pgq_router

__all__ = ["pgq_router"]

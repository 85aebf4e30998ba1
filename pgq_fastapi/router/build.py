"""Puts the groups together, each behind its dependencies; the ones about jobs never without."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter

from pgq_fastapi.errors import Unprotected
from pgq_fastapi.router import jobs as jobs_group
from pgq_fastapi.router import manage as manage_group
from pgq_fastapi.router import probes as probes_group
from pgq_fastapi.router import scrape as scrape_group
from pgq_fastapi.router import status as status_group

Group = bool | Sequence[Any]


def pgq_router(
    *,
    prefix: str = "/pgq",
    dependencies: Sequence[Any] = (),
    probes: Group = True,
    metrics: Group = True,
    status: Group = False,
    jobs: Group = False,
    manage: Group = False,
    max_lag: float | None = None,
    tags: Sequence[str] = ("pgq",),
    include_in_schema: bool = True,
) -> APIRouter:
    """Routes to include in your app; they find the queue by the lifespan.

    `probes`: /live and /ready (503 also when the oldest ready job has waited longer than `max_lag`
    seconds); `metrics`: /metrics for Prometheus; `status`: a job's status by polling and as
    server-sent events; `jobs`: list, show, count; `manage`: retry and cancel. A group is on with
    True or with a list of dependencies of its own; `dependencies` guard every route. Raises
    Unprotected when `status`, `jobs` or `manage` are on and nothing guards them.
    """
    router = APIRouter(
        prefix=prefix, dependencies=list(dependencies), tags=list(tags),
        include_in_schema=include_in_schema,
    )  # fmt: skip
    groups = {
        "probes": (probes, probes_group.routes(max_lag)),
        "metrics": (metrics, scrape_group.router),
        "status": (status, status_group.router),
        "jobs": (jobs, jobs_group.router),
        "manage": (manage, manage_group.router),
    }
    for name, (wanted, routes) in groups.items():
        own = [] if isinstance(wanted, bool) else list(wanted)
        if wanted is False:
            continue
        if name in ("status", "jobs", "manage") and not (own or dependencies):
            raise Unprotected(name, f"dependencies=[…] or {name}=[…]")
        router.include_router(routes, dependencies=own)
    return router

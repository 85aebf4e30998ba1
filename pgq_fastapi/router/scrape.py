"""/metrics, in the format the scraper asks for."""

from __future__ import annotations

from typing import Any, cast

from fastapi import APIRouter, Request, Response
from prometheus_client.exposition import choose_encoder

from pgq_fastapi.metrics import Snapshot, default_metrics, read_figures
from pgq_fastapi.runtime import runtime_of

router = APIRouter()


@router.get(
    "/metrics",
    summary="Counters, histograms and gauges for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request) -> Response:
    runtime = runtime_of(request)
    figures = await read_figures(runtime.pgq.queries)
    encode, kind = choose_encoder(request.headers.get("accept", ""))
    snapshot = Snapshot(runtime.metrics or default_metrics(), figures)
    return Response(encode(cast("Any", snapshot)), headers={"content-type": kind})

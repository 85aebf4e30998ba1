"""What goes wrong between the queue and the app."""

from __future__ import annotations

from pgq_core.errors import InvalidInput, NotBound


class LifespanMissing(NotBound):
    """A request asked for the queue, but no pgq lifespan runs for this app."""

    def __init__(self) -> None:
        Exception.__init__(
            self,
            "no pgq lifespan runs for this app; use FastAPI(lifespan=pgq_lifespan(pgq, dsn)), or "
            "APIRouter(lifespan=…) with include_router (a mounted app's lifespan never runs). In "
            "tests enter it too: `with TestClient(app)`, or `pgq_fastapi.testing.app_client(app)`; "
            "httpx.ASGITransport alone runs none",
        )


class Unprotected(InvalidInput):
    """Routes that show or change jobs were asked for without a dependency that guards them."""

    def __init__(self, group: str, parameters: str) -> None:
        self.group = group
        super().__init__(
            f"pgq_router({group}=True) would let everybody in; pass {parameters}, as in "
            f"pgq_router({group}=True, dependencies=[Depends(require_admin)])"
        )

"""The application: `uvicorn shop.main:app`."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy import text

from pgq_core.errors import JobNotFound
from pgq_fastapi import PgqDep, job_events, pgq_lifespan, pgq_router
from shop.database import Base, Order, SessionDep, engine
from shop.tasks import charge, pgq


class NewOrder(BaseModel):
    """What a customer sends."""

    customer: str = Field(min_length=1, max_length=100)
    total: Decimal = Field(gt=0, max_digits=10, decimal_places=2)


class Placed(BaseModel):
    """What a customer gets."""

    order: int
    job: int


class OrderView(BaseModel):
    """An order as it stands."""

    id: int
    customer: str
    total: Decimal
    state: str


def require_staff(token: Annotated[str, Header()] = "") -> None:
    """Only those who know the word."""
    if token != os.environ.get("SHOP_STAFF_TOKEN", "staff"):
        raise HTTPException(401)


@asynccontextmanager
async def tables(_app: FastAPI) -> AsyncIterator[None]:
    """Create the shop's tables; a real shop has migrations."""
    async with engine.begin() as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(20261124)"))
        await connection.run_sync(Base.metadata.create_all)
    yield
    await engine.dispose()


app = FastAPI(
    title="shop",
    lifespan=pgq_lifespan(pgq, inner=tables, install=True, concurrency=5, shutdown_timeout=10),
)
staff = [Depends(require_staff)]
app.include_router(pgq_router(jobs=staff, manage=staff))


@app.post("/orders")
async def place_order(new: NewOrder, session: SessionDep) -> Placed:
    """The order and its job are one transaction: both exist, or neither."""
    order = Order(customer=new.customer, total=new.total)
    session.add(order)
    await session.flush()
    job = await charge.using(
        connection=session, unique_key=f"order {order.id}", headers={"customer": new.customer}
    ).enqueue(order_id=order.id, amount=new.total)
    return Placed(order=order.id, job=job)


@app.get("/orders/{id}")
async def get_order(id: int, customer: str, session: SessionDep) -> OrderView:
    """An order, for its customer."""
    order = await session.get(Order, id)
    if order is None or order.customer != customer:
        raise HTTPException(404)
    return OrderView(id=order.id, customer=order.customer, total=order.total, state=order.state)


@app.get("/jobs/{id}/events")
async def follow(id: int, customer: str, request: Request, queue: PgqDep) -> Response:
    """How the charge goes, as it goes, for the customer whose order it is."""
    try:
        job = await queue.queries.get_job(id)
    except JobNotFound:
        raise HTTPException(404) from None
    if job.headers.get("customer") != customer:
        raise HTTPException(404)
    return await job_events(request, id)

"""Tables, engine, and the request's session."""

import os
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Annotated

from fastapi import Depends
from sqlalchemy import ForeignKey, Numeric
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

DSN = os.environ["PGQ_DSN"]
engine = create_async_engine(DSN.replace("postgresql://", "postgresql+asyncpg://", 1))


class Base(DeclarativeBase):
    """Every table of the shop."""


class Order(Base):
    """What somebody bought; `state` goes from placed to charged to shipped."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    customer: Mapped[str]
    total: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    state: Mapped[str] = mapped_column(default="placed")


class Charge(Base):
    """Money taken. The constraint would catch a second charge; it never has to."""

    __tablename__ = "charges"

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), unique=True)
    amount: Mapped[Decimal] = mapped_column(Numeric(10, 2))


async def open_session() -> AsyncIterator[AsyncSession]:
    """A session whose transaction commits when the endpoint has returned."""
    async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
        yield session


# scope="function": commit first, answer afterwards.
SessionDep = Annotated[AsyncSession, Depends(open_session, scope="function")]

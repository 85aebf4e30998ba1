"""The jobs of the shop."""

import asyncio
import os
from decimal import Decimal

from sqlalchemy.ext.asyncio import AsyncSession

from pgq_core import Context, PgQueuer
from shop.database import Charge, Order, engine

pgq = PgQueuer()

BANK_SECONDS = float(os.environ.get("SHOP_BANK_SECONDS", "0.1"))


@pgq.task(transactional=True, max_attempts=10)
async def charge(context: Context, order_id: int, amount: Decimal) -> dict[str, str]:
    """Take the money. The charge, the order's state and the next job commit with the completion."""
    context.progress(0.1, "asking the bank")
    await asyncio.sleep(BANK_SECONDS)
    result = {"charged": str(amount)}
    async with (
        AsyncSession(engine) as session,
        context.transaction(result, connection=session),
    ):
        session.add(Charge(order_id=order_id, amount=amount))
        order = await session.get_one(Order, order_id)
        order.state = "charged"
        await ship.using(connection=session).enqueue(order_id=order_id)
    return result


@pgq.task()
async def ship(order_id: int) -> None:
    """Send the parcel; doing it again would change nothing."""
    async with AsyncSession(engine) as session, session.begin():
        order = await session.get_one(Order, order_id)
        order.state = "shipped"

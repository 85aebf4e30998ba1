"""What happens behind an order."""

import asyncio
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import F, Sum
from django.utils import timezone

import pgq_django
from shop.http import Refused, post
from shop.models import Order, Report

try:
    from django.tasks import task
except ImportError:  # Django 5.2
    from django_tasks import task


@task(takes_context=True)
def confirm_order(context: Any, order_id: int) -> int:
    """A plain task with the ORM; it may run again after a crash, so it does its work once."""
    Order.objects.filter(pk=order_id, confirmed_at=None).update(confirmed_at=timezone.now())
    return context.attempt


@task(queue_name="payments", priority=10)
@pgq_django.options(max_attempts=6, backoff=0.2, no_retry_on=Refused, unique=True)
def charge(order_id: int) -> str:
    """A payment that fails now and then: tried again, unless the card was refused."""
    order = Order.objects.select_related("product").get(pk=order_id)
    amount = order.quantity * order.product.cents
    try:
        receipt = post(settings.PAYMENT_URL, {"order": order_id, "cents": amount})["receipt"]
    except Refused:
        Order.objects.filter(pk=order_id).update(paid="refused")
        raise
    Order.objects.filter(pk=order_id).update(paid=receipt)
    return receipt


@task
@pgq_django.options(timeout=timedelta(minutes=2))
async def pack_order(order_id: int) -> str:
    """A coroutine task: asks the warehouse and waits for its answer on the worker's loop."""
    answer = await asyncio.to_thread(post, settings.WAREHOUSE_URL, {"order": order_id})
    await Order.objects.filter(pk=order_id).aupdate(packed_by=answer["by"])
    return answer["by"]


@pgq_django.schedule("0 3 * * *", timezone="Europe/Paris")
@task(queue_name="reports", priority=-10)
@pgq_django.options(atomic=True)
def nightly_report() -> int:
    """Every night at three, once, however many workers there are."""
    orders = Order.objects.exclude(confirmed_at=None)
    cents = orders.aggregate(sum=Sum(F("quantity") * F("product__cents")))["sum"] or 0
    report = Report.objects.create(orders=orders.count(), cents=cents)
    return report.pk

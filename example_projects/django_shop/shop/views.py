"""Orders over HTTP, as JSON."""

import json

from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from shop.models import Order, Product
from shop.tasks import charge, confirm_order, pack_order


@csrf_exempt
@require_POST
def place_order(request: HttpRequest) -> JsonResponse:
    """Order and jobs are one transaction: both are there, or neither."""
    wanted = json.loads(request.body)
    try:
        with transaction.atomic():
            order = Order.objects.create(
                product=Product.objects.select_for_update().get(name=wanted["product"]),
                quantity=wanted["quantity"],
                email=wanted["email"],
            )
            confirm_order.enqueue(order.pk)
            charge.enqueue(order.pk)
            pack_order.enqueue(order_id=order.pk)
            take_from_stock(order)
    except SoldOut as error:
        return JsonResponse({"error": str(error)}, status=409)
    return JsonResponse({"order": order.pk}, status=201)


@require_GET
def show_order(_: HttpRequest, order: int) -> JsonResponse:
    """How far an order is."""
    found = get_object_or_404(Order, pk=order)
    return JsonResponse(
        {
            "confirmed": found.confirmed_at is not None,
            "paid": found.paid,
            "packed_by": found.packed_by,
        }
    )


class SoldOut(Exception):
    """There is not enough of it."""


def take_from_stock(order: Order) -> None:
    """After the jobs were enqueued: when this raises, they go with the order."""
    if order.product.stock < order.quantity:
        raise SoldOut(f"only {order.product.stock} of {order.product} left")
    order.product.stock -= order.quantity
    order.product.save()

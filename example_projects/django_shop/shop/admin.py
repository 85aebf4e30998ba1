"""The shop in the admin; the queue is there by itself."""

from django.contrib import admin

from shop.models import Order, Product, Report


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):
    """Orders with how far they are."""

    list_display = ("id", "product", "quantity", "email", "confirmed_at", "paid", "packed_by")


admin.site.register([Product, Report])

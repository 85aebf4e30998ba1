"""What the shop keeps."""

from django.db import models


class Product(models.Model):
    """Something to buy."""

    name = models.CharField(max_length=100, unique=True)
    stock = models.PositiveIntegerField(default=0)
    cents = models.PositiveIntegerField(default=100)

    def __str__(self) -> str:
        return self.name


class Order(models.Model):
    """What somebody wants."""

    product = models.ForeignKey(Product, models.PROTECT)
    quantity = models.PositiveIntegerField()
    email = models.EmailField()
    confirmed_at = models.DateTimeField(null=True)
    paid = models.CharField(max_length=20, default="no")
    packed_by = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.quantity} × {self.product} for {self.email}"


class Report(models.Model):
    """One night's figures."""

    orders = models.PositiveIntegerField()
    cents = models.PositiveIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

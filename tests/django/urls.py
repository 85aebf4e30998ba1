"""The admin, and a view that enqueues, for the tests."""

from django.contrib import admin
from django.urls import path

from tests.django.shop.views import order

urlpatterns = [path("admin/", admin.site.urls), path("order/", order)]

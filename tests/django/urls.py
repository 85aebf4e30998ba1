"""The admin, and views that enqueue, for the tests."""

from django.contrib import admin
from django.urls import path

from tests.django.shop.views import fail, order

urlpatterns = [path("admin/", admin.site.urls), path("order/", order), path("fail/", fail)]

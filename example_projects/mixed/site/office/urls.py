"""One address."""

from django.urls import path

from office.views import add_picture

urlpatterns = [path("pictures/", add_picture)]

"""What the site keeps."""

from django.db import models


class Picture(models.Model):
    """A picture; the service makes its thumbnail."""

    name = models.CharField(max_length=100)
    thumbnail = models.CharField(max_length=100, default="")


class Letter(models.Model):
    """A letter about a picture; one for each, however often its job runs."""

    picture = models.OneToOneField(Picture, on_delete=models.CASCADE)

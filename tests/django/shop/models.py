"""What the tasks write."""

from django.db import models


class Note(models.Model):
    """One line a task has left behind."""

    text = models.TextField()

"""Managers and models that read; the queue's tables are written by its own statements alone."""

# ruff: noqa: ARG002  (the signatures are Django's)

from __future__ import annotations

from typing import Any, NoReturn, TypeVar

from django.db import models

from pgq_django.exceptions import ReadOnlyModel

M = TypeVar("M", bound=models.Model)


class ReadOnlyQuerySet(models.QuerySet[M]):
    """A queryset whose writing verbs are refused.

    A duplicate unique key is skipped quietly by the database: a row that Django believes to have
    created would carry another row's id, and `bulk_create` would fail with all its rows.
    """

    def _refuse(self, verb: str) -> NoReturn:
        raise ReadOnlyModel(self.model.__name__, verb)

    def create(self, **kwargs: Any) -> NoReturn:
        self._refuse("create()")

    def bulk_create(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse("bulk_create()")

    def get_or_create(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse("get_or_create()")

    def update_or_create(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse("update_or_create()")

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse("bulk_update()")

    def update(self, **kwargs: Any) -> NoReturn:
        self._refuse("update()")

    def delete(self) -> NoReturn:
        self._refuse("delete()")


class ReadOnlyModelBase(models.Model):
    """A model that refuses to be saved or deleted."""

    objects: Any = ReadOnlyQuerySet.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ReadOnlyModel(type(self).__name__, "save()")

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ReadOnlyModel(type(self).__name__, "delete()")

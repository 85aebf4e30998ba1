"""A module that cannot be imported until a file is there: a deploy that is not complete."""

from __future__ import annotations

import os
from pathlib import Path

from pgq_django.compat import NATIVE

if NATIVE:
    from django.tasks import task
else:
    from django_tasks import task

if not Path(os.environ["PGQ_TEST_DEPLOYED"]).exists():
    raise ImportError("not deployed yet")


@task
def arrived() -> str:
    """Run at last."""
    return "arrived"

"""The one place where Django's priorities and ours meet.

Django: −100 … 100, larger first, 0 by default. pgq: smaller first, 5 by default.
"""

from __future__ import annotations

NORMAL = 5


def to_pgq(priority: int) -> int:
    """Django's priority as ours."""
    return NORMAL - int(priority)


def to_django(priority: int) -> int:
    """Ours as Django's; beyond Django's range for jobs other programs enqueued."""
    return NORMAL - priority

"""Python imports this by itself when its folder is on PYTHONPATH: the process is wrong about the
date by CHAOS_CLOCK seconds. Monotonic clocks are left alone, as a wrong system clock leaves them."""

from __future__ import annotations

import datetime as dt
import os
import time
from typing import Any

SHIFT = float(os.environ.get("CHAOS_CLOCK", "0"))
_time, _time_ns, _real = time.time, time.time_ns, dt.datetime


class Shifted(type):
    """Instances of the real class count as ours."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _real)


class WrongDate(dt.datetime, metaclass=Shifted):
    """A datetime whose now is somebody else's."""

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        """The wrong time."""
        return _real.fromtimestamp(_time() + SHIFT, tz)

    @classmethod
    def utcnow(cls) -> Any:
        """The wrong time, without a zone."""
        return cls.now(dt.timezone.utc).replace(tzinfo=None)


if SHIFT:
    time.time = lambda: _time() + SHIFT
    time.time_ns = lambda: _time_ns() + int(SHIFT * 1e9)
    dt.datetime = WrongDate  # type: ignore[misc]

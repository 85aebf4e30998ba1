"""How long to wait before the next try to reach the database."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pgq_core.db import pause_after


@given(st.integers(1, 10**9))
def test_pauses_grow_up_to_two_seconds(failures: int) -> None:
    """However long the database was away, a worker tries again within two seconds."""
    full = 2.0 if failures > 6 else 0.05 * 2 ** (failures - 1)
    assert full / 2 <= pause_after(failures) <= full

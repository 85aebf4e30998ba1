"""Many jobs go out as arrays; a column in which no job says anything is an empty one."""

from __future__ import annotations

from pgq_core import NewJob
from pgq_core.models import row_of
from pgq_core.queries.rows import columns


def sent(*jobs: NewJob) -> dict[str, list[object]]:
    """The arrays of one call."""
    return columns([row_of(job) for job in jobs])


def test_what_no_job_states_is_not_sent() -> None:
    """Enqueueing many plain jobs sends their names, payloads, priorities and queues, and no more."""
    found = sent(NewJob("a", b"1"), NewJob("b", b"2"))
    assert {name for name, values in found.items() if values} == {
        "entrypoints", "payloads", "priorities", "queues",
    }  # fmt: skip


def test_what_one_job_states_is_sent_for_all() -> None:
    """One job with a key, a delay of zero or a priority of zero keeps its place among the others."""
    found = sent(
        NewJob("a"), NewJob("b", unique_key="k", on_duplicate="replace", delay=0, priority=0)
    )
    assert found["unique_keys"] == [None, "k"]
    assert found["replaces"] == [False, True]
    assert found["delays"] == [None, 0.0]
    assert found["priorities"] == [5, 0]
    assert sent(NewJob("a", priority=0))["priorities"] == [0]

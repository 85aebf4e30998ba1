"""Rules: time passes; people cancel, put back, and throw away."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.flow import steps
from tests.sql import verbs
from tests.sql.machine.base import Base
from tests.sql.verbs import ANY_AGE

AN_HOUR_PASSES = """
UPDATE pgq_deferred SET run_at = run_at - interval '2 hours' WHERE job_id <> ALL($1)
"""
FREE_AND_WAITED_FOR = """
SELECT b.scope FROM pgq_blocked AS b
WHERE NOT EXISTS (SELECT FROM pgq_holders AS h WHERE h.scope = b.scope)
"""


class People(Base):
    """What comes from outside, and what tidies up."""

    # -- time ---------------------------------------------------------------------------------

    def due(self) -> list[int]:
        """An hour passes for these deferred jobs."""
        self.run(self.bench.main.execute(AN_HOUR_PASSES, list(self.late_jobs)))
        waiting = (id_ for id_, job in self.jobs.items() if job.state == "deferred")
        return [id_ for id_ in waiting if id_ not in self.late_jobs]

    def promoted(self, ids: list[int]) -> None:
        """They may start now."""
        for id_ in ids:
            self.jobs[id_].state = "ready"

    @rule()
    def promote(self) -> None:
        """An hour passes."""
        ids = self.due()
        while self.run(verbs.look(self.bench.main))["promoted"]:
            pass
        self.promoted(ids)

    @rule()
    def sweep(self) -> None:
        """Places that nobody handed over are handed over now."""
        self.run(steps.sweep(self.bench.main))
        if not self.counting:
            assert self.run(self.bench.main.fetch(FREE_AND_WAITED_FOR)) == []

    # -- people -------------------------------------------------------------------------------

    def cancelled(self, ids: list[int], found: dict[int, str]) -> None:
        """What a cancellation means; one that commits late may find its job thrown away."""
        for id_ in ids:
            if (job := self.jobs.get(id_)) is None:
                continue
            if found[id_] == "cancelled":
                job.end("cancelled")
            elif found[id_] == "requested":
                job.wish = True

    def expected_of_cancel(self, ids: list[int]) -> dict[int, str]:
        """What a cancellation answers."""
        words = {"running": "requested", "ready": "cancelled", "deferred": "cancelled"}
        return {id_: words.get(self.jobs[id_].state, "finished") for id_ in ids}

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        ids = self.pick(data)
        found = self.run(verbs.cancel(self.bench.main, *ids))
        assert found == self.expected_of_cancel(ids)
        self.cancelled(ids, found)

    def to_retry(self, data: st.DataObject) -> list[int]:
        """A few jobs whose unique keys no open transaction holds."""
        return [id_ for id_ in self.pick(data) if self.jobs[id_].key not in self.busy_keys]

    def expected_of_retry(self, ids: list[int]) -> dict[int, str]:
        """What a retry answers; of two with one unique key the first is put back."""
        found, keys = {}, set()
        for id_ in ids:
            job = self.jobs[id_]
            if not job.finished:
                found[id_] = "running"
            elif job.key in keys or self.holder(job.key) is not None:
                found[id_] = "held"
            else:
                found[id_] = "retried"
                keys |= {job.key} - {None}
        return found

    def put_back(self, found: dict[int, str]) -> None:
        """What a retry means."""
        for id_, verdict in found.items():
            if verdict == "retried":
                self.jobs[id_].put_back()

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        ids = self.to_retry(data)
        found = self.run(verbs.retry(self.bench.main, *ids))
        assert found == self.expected_of_retry(ids)
        self.put_back(found)

    def prunable(self) -> set[int]:
        """The jobs that are over, stand in no lease, and whose bodies nobody has locked."""
        rows = self.run(self.bench.main.fetch("SELECT unnest(job_ids) FROM pgq_leases"))
        leased = {row[0] for row in rows}
        locked = self.late_jobs if self.late and self.late.kind in ("retry", "prune") else set()
        return {i for i, job in self.jobs.items() if job.finished} - leased - locked

    def gone(self, ids: set[int]) -> None:
        """These jobs were thrown away, with everything that was known of them."""
        self.jobs = {id_: job for id_, job in self.jobs.items() if id_ not in ids}
        self.stale = [
            batch for batch in self.stale if all(one.job_id in self.jobs for one in batch)
        ]

    @rule()
    def prune(self) -> None:
        ids = self.prunable()
        self.run(verbs.call(self.bench.main, "prune", from_id=0, limit=100_000, **ANY_AGE))
        self.gone(ids)

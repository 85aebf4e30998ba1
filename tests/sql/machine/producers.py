"""Rules: jobs come in, committed at once, late, or not at all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.sql import verbs
from tests.sql.machine.base import KEYED, Base
from tests.sql.machine.model import Model
from tests.sql.verbs import KEEP, UNDO

HOUR = timedelta(hours=1)
SIZES = st.sampled_from([1, 2, 5, 300])  # 300 are more than the window below a mark
STATES = st.sampled_from(["ready", "ready", "deferred"])
CAPS = st.sampled_from([5, 5, 1])
PRODUCERS = st.sampled_from([None, None, 0, 1])  # None: committed at once


class Producers(Base):
    """Two producers with transactions of their own, and one who commits at once."""

    def put(self, on: Any, into: dict[int, Model], new: Model, count: int, name: str) -> None:
        """Enqueue; a unique key that is held gives back its holder."""
        fields = {
            "run_at": HOUR if new.state == "deferred" else None,
            "unique_keys": new.key,
            "concurrency_keys": new.turn,
            "max_attempts": new.cap if new.cap != 5 else None,
            "priorities": len(name),
        }
        ids = self.run(verbs.enqueue(on, name, count, **fields))
        held = self.holder(new.key)
        if held is not None:
            assert set(ids) == {held}
        else:
            assert not self.jobs.keys() & set(ids)
            into.update({id_: Model(new.state, new.key, new.cap, new.turn) for id_ in ids})

    def producer(self, which: int | None) -> tuple[Any, dict[int, Model]]:
        """Its connection, in a transaction if it is one of the two, and where its jobs go."""
        if which is None:
            return self.bench.main, self.jobs
        on = self.bench.producers[which]
        if which not in self.uncommitted:
            self.run(on.execute("BEGIN"))
        return on, self.uncommitted.setdefault(which, {})

    @rule(
        count=SIZES,
        state=STATES,
        key=st.sampled_from([None, None, "a", "b"]),
        cap=CAPS,
        name=st.sampled_from(["x", "yy"]),
        producer=PRODUCERS,
    )
    def enqueue(
        self, count: int, state: str, key: str | None, cap: int, name: str, producer: int | None
    ) -> None:
        key = key and f"{name}'s {key}"  # a unique key belongs to its entrypoint
        if key in self.busy_keys:
            return  # it would wait for the open transaction
        on, into = self.producer(producer)
        self.put(on, into, Model(state, key, cap), 1 if key else count, name)

    @rule(
        count=st.sampled_from([1, 3]),
        state=STATES,
        turn=st.sampled_from(["left", "right"]),
        cap=CAPS,
        producer=PRODUCERS,
    )
    def enqueue_in_turn(
        self, count: int, state: str, turn: str, cap: int, producer: int | None
    ) -> None:
        on, into = self.producer(producer)
        self.put(on, into, Model(state, cap=cap, turn=turn), count, KEYED)

    @precondition(lambda self: self.uncommitted)
    @rule(producer=st.integers(0, 1), keep=st.booleans())
    def end_producer(self, producer: int, keep: bool) -> None:
        if producer in self.uncommitted:
            self.run(self.bench.producers[producer].execute(KEEP if keep else UNDO))
            made = self.uncommitted.pop(producer)
            self.jobs.update(made if keep else {})

"""Jobs that wait for others: of the same call, or enqueued before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from graphlib import CycleError, TopologicalSorter

from pgq_core.errors import InvalidInput
from pgq_core.models.new_job import NewJob


class Fellows(list[NewJob]):
    """The jobs of one call, in order; they may wait for each other, in no circle (InvalidInput)."""

    def __init__(self, jobs: Iterable[NewJob]) -> None:
        super().__init__(jobs)
        self.places: dict[int, list[int]] = {}
        for place, job in enumerate(self, start=1):
            self.places.setdefault(id(job), []).append(place)
        graph = {
            id(job): [id(other) for other in waited_for(job) if isinstance(other, NewJob)]
            for job in self
            if job.after
        }
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            names = {id(job): job.entrypoint for job in self}
            circle = " → ".join(repr(names.get(job)) for job in error.args[1])
            raise InvalidInput(f"after= makes jobs wait for each other: {circle}") from None


def waited_for(job: NewJob) -> Sequence[int | NewJob]:
    """What a job waits for. Raises InvalidInput for what is no list."""
    if isinstance(job.after, (int, str, NewJob)):
        raise InvalidInput(f"after={job.after!r}: give a list, as in after=[{job.after!r}]")
    return job.after


def encode_after(after: Sequence[int | NewJob], fellows: Sequence[NewJob]) -> str | None:
    """The jobs to wait for, as the text of a bigint[]; -k is the k-th job of the same call."""
    if not after:
        return None
    places = fellows.places if isinstance(fellows, Fellows) else Fellows(fellows).places
    ids: list[int] = []
    for job in after:
        if isinstance(job, NewJob):
            if id(job) not in places:
                raise InvalidInput(
                    f"after= names a NewJob ({job.entrypoint!r}) that is not part of this call; "
                    "enqueue both together, or give the id of the job already enqueued"
                )
            ids += [-place for place in places[id(job)]]
        elif isinstance(job, bool) or not isinstance(job, int) or job < 1:
            raise InvalidInput(f"after={job!r}: give ids of jobs, or NewJobs of the same call")
        else:
            ids.append(job)
    return "{" + ",".join(map(str, ids)) + "}"

"""Find a page of jobs that match. Rows are read in order of id, by an index, and no more than
20,000 of them: what has not been looked at then is the next page's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pgq_django.admin.sources import BODY, Chunk, Given, source_of
from pgq_django.models import Job, JobBody, Lane, Lock

LONGEST = 20_000  # rows looked at for one page
CHUNK = 2_000  # rows of one query
SKEW = timedelta(minutes=1)  # ids are drawn in the order of created_at, or nearly so
HEAVY = ("payload", "headers", "last_error", "last_result")  # no column of the list


@dataclass(frozen=True)
class Wanted:
    """What a list is narrowed to; None is everything. `key`: a unique or a concurrency key."""

    state: str | None = None
    queue: str | None = None
    entrypoint: str | None = None
    since: datetime | None = None
    key: str | None = None
    id: int | None = None

    @property
    def by_body(self) -> bool:
        """Whether bodies must be read to know."""
        return any((self.queue, self.entrypoint, self.since, self.key))

    def fits(self, body: dict[str, Any]) -> bool:
        """Whether a job's body is as wanted."""
        return (
            self.queue in (None, body["queue"])
            and self.entrypoint in (None, body["entrypoint"])
            and self.key in (None, body["unique_key"], body["concurrency_key"])
            and (self.since is None or body["created_at"] >= self.since)
        )

    def passed(self, body: dict[str, Any]) -> bool:
        """Whether jobs with smaller ids than this one's are all too old."""
        return bool(self.since is not None and body["created_at"] < self.since - SKEW)


@dataclass
class Found:
    """A page, newest first. `onward`: the id from which the next one goes on, None at the end.
    `cut`: it is short because enough was looked at."""

    jobs: list[Job]
    onward: int | None
    looked: int
    cut: bool = False


def find(using: str, wanted: Wanted, start: int | None, count: int, *, newer: bool) -> Found:
    """Up to `count` jobs before the id `start`, or after it."""
    scan, jobs = Scan(using, wanted, start, newer), list[Job]()
    for ids in scan.lists(count + 1):
        jobs += read(using, wanted, ids, newer)
        if len(jobs) > count:
            page = jobs[:count]
            return Found(descending(page), page[-1].pk, scan.looked)
    if wanted.key and start is None:
        jobs += holders(using, wanted, {job.pk for job in jobs})
    return Found(descending(jobs), scan.at, scan.looked, scan.at is not None)


class Scan:
    """Goes from id to id. `at`: where it stands; None once it has reached the end."""

    def __init__(self, using: str, wanted: Wanted, start: int | None, newer: bool) -> None:
        self.using, self.wanted, self.newer = using, wanted, newer
        self.source = source_of(using, wanted.state) if wanted.id is None else Given([wanted.id])
        self.at = start
        self.looked = 0

    def lists(self, piece: int) -> Iterator[list[int]]:
        """Ids of jobs whose bodies fit, at most `piece` at a time."""
        size = piece
        while self.looked < LONGEST:
            chunk = self.source.chunk(self.at, size, self.newer)
            ids = self.fitting(chunk)
            self.at, self.looked = chunk.last, self.looked + chunk.looked
            for index in range(0, len(ids), piece):
                yield ids[index : index + piece]
            if self.at is None:
                return
            size = min(CHUNK, size * 4)

    def fitting(self, chunk: Chunk) -> list[int]:
        """The ids of a chunk whose bodies fit; notes when all further ones are too old."""
        if not self.wanted.by_body:
            return chunk.ids
        bodies = chunk.bodies
        if bodies is None:
            found = JobBody.objects.using(self.using).filter(id__in=chunk.ids)
            bodies = list(found.order_by("id" if self.newer else "-id").values(*BODY))
        if bodies and not self.newer and self.wanted.passed(bodies[-1]):
            chunk.last = None
        return [body["id"] for body in bodies if self.wanted.fits(body)]


def read(using: str, wanted: Wanted, ids: list[int], newer: bool) -> list[Job]:
    """The jobs of these ids that are still in the state wanted, in the order of the scan."""
    found = Job.objects.using(using).filter(id__in=ids).defer(*HEAVY)
    found = found.order_by("id" if newer else "-id")
    return [job for job in found if wanted.state in (None, job.state)]


def holders(using: str, wanted: Wanted, known: set[int]) -> list[Job]:
    """The live jobs that hold this unique key, however old they are."""
    names = set(Lane.objects.using(using).values_list("entrypoint", flat=True))
    locks = Lock.objects.using(using).filter(entrypoint__in=names, unique_key=wanted.key)
    ids = [job for job in locks.values_list("job_id", flat=True)[:100] if job not in known]
    bodies = JobBody.objects.using(using).filter(id__in=ids).values(*BODY)
    return read(using, wanted, [body["id"] for body in bodies if wanted.fits(body)], False)


def descending(jobs: list[Job]) -> list[Job]:
    """Newest first."""
    return sorted(jobs, key=lambda job: -job.pk)

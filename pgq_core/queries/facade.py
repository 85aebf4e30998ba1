"""`Queries`: what programs and people ask of the queue."""

from __future__ import annotations

from pgq_core.queries.flow import Flow
from pgq_core.queries.reading import Reading
from pgq_core.queries.steering import Steering
from pgq_core.queries.timetable import Timetable
from pgq_core.queries.writing import Writing


class Queries(Writing, Reading, Steering, Timetable, Flow):
    """Every database verb, on a driver; one method, one statement.

    `schema` is where the tables live (default: the variable PGQ_SCHEMA, else `public`).
    """

"""enqueue."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from typing import Any

import click

from pgq_core.app import PgQueuer
from pgq_core.cli.group import command, json_option, with_queries
from pgq_core.cli.output import print_json, say
from pgq_core.cli.types import JOB_ID, SMALLINT, duration, moment, name
from pgq_core.models import ON_DUPLICATE, ON_FAILURE, UNIQUE_WHILE, NewJob
from pgq_core.queries import Queries


@command("enqueue")
@click.argument("entrypoint", type=name)
@click.argument("payload", required=False)
@click.option("--priority", type=SMALLINT, help="Lower runs first.  [default: 5]")
@click.option("--queue", type=name, help="[default: default]")
@click.option("--delay", type=duration, help="Not before that long from now: 90, 10m, 2h.")
@click.option("--run-at", type=moment, help="Not before then: 2030-01-31T09:00+01:00.")
@click.option("--unique-key", type=name, help="One unfinished job per key.")
@click.option("--unique-for", type=duration, help="Hold the key that long from now instead.")
@click.option("--unique-while", type=click.Choice(UNIQUE_WHILE), default="unfinished",
              show_default=True)  # fmt: skip
@click.option("--on-duplicate", type=click.Choice(ON_DUPLICATE), default="keep", show_default=True,
              help="When another job holds the key.")  # fmt: skip
@click.option("--concurrency-key", type=name, help="Jobs of one key take turns.")
@click.option("--after", type=JOB_ID, multiple=True, help="Wait for this job; may be repeated.")
@click.option("--on-failure", type=click.Choice(ON_FAILURE),
              help="When one of those fails.  [default: cancel]")  # fmt: skip
@click.option("--max-attempts", type=click.IntRange(1, 32767), help="1: at most once.")
@click.option("--timeout", type=duration, help="Stop the handler after that long.")
@click.option("--max-depth", type=click.IntRange(1), help="Refuse it where so many wait.")
@click.option("--patience", type=duration, default="0", help="Wait that long for room first.")
@click.option("--json-payload", is_flag=True, help="Refuse a PAYLOAD that is no JSON.")
@json_option
@with_queries
async def enqueue(
    queries: Queries,
    entrypoint: str,
    payload: str | None,
    timeout: timedelta | None,
    max_depth: int | None,
    patience: timedelta,
    json_payload: bool,
    as_json: bool,
    **fields: Any,
) -> None:
    """Enqueue one job and print its id. PAYLOAD `-` is read from stdin.

    Whether a worker knows ENTRYPOINT is not checked: it may be deployed later.
    """
    data = read(payload)
    if json_payload:
        check_json(data)
    seconds = None if timeout is None else timeout.total_seconds()
    job = NewJob(entrypoint, data, timeout=seconds, **fields)
    depths = {} if max_depth is None else {job.queue or "default": max_depth}
    pgq = PgQueuer(queries.driver, schema=queries.schema, max_depth=depths)
    (made,) = await pgq.enqueue_many([job], patience=patience.total_seconds())
    if as_json:
        print_json({"id": made.id, "fresh": made.fresh})
    elif made.fresh:
        say(f"job {made.id}")
    else:
        say(f"job {made.id} holds the key {job.unique_key!r} already; nothing was enqueued")


def read(payload: str | None) -> bytes | None:
    """The payload's bytes as they came."""
    if payload == "-":
        return sys.stdin.buffer.read()
    return None if payload is None else payload.encode("utf-8", "surrogateescape")


def check_json(data: bytes | None) -> None:
    """Refuse what a handler's `job.json()` could not read."""
    try:
        json.loads(data or b"")
    except ValueError as error:
        raise click.BadParameter(f"it is no JSON: {error}", param_hint="PAYLOAD") from None

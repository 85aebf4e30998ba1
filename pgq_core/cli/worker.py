"""worker."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from pgq_core.cli.child import child_environment
from pgq_core.cli.group import DatabaseCommand, Where
from pgq_core.cli.serve import serve
from pgq_core.cli.supervisor import Supervisor
from pgq_core.cli.types import duration, keeping
from pgq_core.options import WorkerOptions

SHORT = 2.0  # seconds a job may take to finish when the code it runs has changed
LEVELS = click.Choice(["debug", "info", "warning", "error"], case_sensitive=False)
COUNT = click.IntRange(1, 100_000)
FORMAT = "%(asctime)s %(levelname)-7s %(name)s [%(process)d] %(message)s"


def split(_ctx: click.Context, _param: click.Parameter, values: Sequence[str]) -> list[str] | None:
    """Names from a repeated option, each of which may hold several."""
    names = [name.strip() for value in values for name in value.split(",")]
    return [name for name in names if name] or None


@click.command("worker", cls=DatabaseCommand)
@click.argument("target", metavar="MODULE:OBJECT")
@click.option("--concurrency", type=COUNT, default=WorkerOptions.concurrency, show_default=True,
              help="Jobs at a time, per process.")  # fmt: skip
@click.option("--processes", type=click.IntRange(1, 1000), default=1, show_default=True)
@click.option("--queues", multiple=True, callback=split, metavar="NAMES",
              help="Only these, separated by commas; NAME=SLOTS gives each a share.")  # fmt: skip
@click.option("--shutdown-timeout", type=duration, default=str(WorkerOptions.shutdown_timeout),
              show_default=True, help="What running jobs get to finish.")  # fmt: skip
@click.option("--threads", type=COUNT, help="For plain functions.  [default: the concurrency]")
@click.option("--lease", type=duration, default=str(WorkerOptions.lease), show_default=True,
              help="After that long without a beat others take over.")  # fmt: skip
@click.option("--floor-share", type=click.FloatRange(0, 0.5), default=0.0, show_default=True,
              help="Of the claims, what goes to low priorities first.")  # fmt: skip
@click.option("--keep-succeeded", type=keeping, metavar="DURATION", default="7d", show_default=True,
              help="How long finished jobs are kept; or `forever`.")  # fmt: skip
@click.option("--keep-failed", type=keeping, metavar="DURATION", default="30d", show_default=True)
@click.option("--keep-cancelled", type=keeping, metavar="DURATION", default="7d", show_default=True)
@click.option("--no-prune", is_flag=True, help="Delete nothing, leave that to others.")
@click.option("--no-schedules", is_flag=True, help="Fire no schedules.")
@click.option("--no-listen", is_flag=True, help="Poll only: behind a pooler.")
@click.option("--listen-dsn", metavar="URL", help="A direct line, beside a pooler.")
@click.option("--until-empty", is_flag=True, help="End when nothing is left to do.")
@click.option("--max-jobs", type=click.IntRange(1), help="End after so many, per process.")
@click.option("--reload", is_flag=True, help="Start anew when a .py file below here changes.")
@click.option("--log-level", type=LEVELS, default="info", show_default=True)
@click.option("--tether", type=int, hidden=True, allow_from_autoenv=False)
@click.pass_context
def worker(
    ctx: click.Context,
    /,
    target: str,
    processes: int,
    reload: bool,
    log_level: str,
    tether: int | None,
    **given: Any,
) -> int:
    """Run jobs. MODULE:OBJECT is a PgQueuer, or a function that returns one.

    SIGTERM or SIGINT: nothing more is claimed, running jobs may finish; what has not finished in
    time is given back without spending an attempt. A second signal gives them back at once, a
    third ends the process. Exit code 0 when it was stopped or had nothing left to do.

    --until-empty: no job that it serves is due, and none is held by a worker that has died. What
    runs on workers that live, is due later or is paused is not waited for.
    """
    logging.basicConfig(level=log_level.upper(), format=FORMAT, stream=sys.stderr)
    where = ctx.ensure_object(Where)
    if processes > 1 or reload:
        return supervise(ctx, where, processes, reload)
    return serve(target, where, options_of(**given), tether)


def shares(names: list[str] | None) -> list[str] | dict[str, int] | None:
    """Names as they are, or NAME=SLOTS as a share of the concurrency each."""
    if names is None or not any("=" in name for name in names):
        return names
    pairs = [name.rpartition("=") for name in names]
    if not all(queue and slots.isdecimal() and int(slots) for queue, _, slots in pairs):
        raise click.UsageError(
            f"--queues {','.join(names)}: give names, or NAME=SLOTS for every one of them"
        )
    return {queue: int(slots) for queue, _, slots in pairs}


def options_of(
    queues: Any,
    no_listen: bool,
    no_prune: bool,
    no_schedules: bool,
    shutdown_timeout: Any,
    lease: Any,
    **plain: Any,
) -> WorkerOptions:
    """The worker's options from the command line's."""
    return WorkerOptions(
        queues=shares(queues),
        listen=not no_listen,
        prune=not no_prune,
        schedules=not no_schedules,
        shutdown_timeout=shutdown_timeout.total_seconds(),
        lease=lease.total_seconds(),
        **plain,
    )


def supervise(ctx: click.Context, where: Where, processes: int, reload: bool) -> int:
    """Run this very command in child processes."""
    secret = ("dsn", "schema", "listen_dsn")  # everybody can read a command line
    arguments = command_line(ctx, without=("processes", "reload", "tether", *secret))
    if reload:
        arguments += ["--shutdown-timeout", str(SHORT)]
    environment = child_environment(where.dsn, where.schema)
    for name in ("PGQ_WORKER_PROCESSES", "PGQ_WORKER_RELOAD"):
        environment.pop(name, None)
    if ctx.params["listen_dsn"] is not None:
        environment["PGQ_WORKER_LISTEN_DSN"] = ctx.params["listen_dsn"]
    watch = Path.cwd() if reload else None

    async def body() -> int:
        return await Supervisor(arguments, environment, processes, watch).run()

    return asyncio.run(body())


def command_line(ctx: click.Context, without: Sequence[str]) -> list[str]:
    """The arguments that make a child see the values we see."""
    words = [ctx.params["target"]]
    for param in ctx.command.params:
        value = ctx.params.get(param.name or "")
        if not isinstance(param, click.Option) or param.name in without or value in (None, False):
            continue
        if param.is_flag:
            words.append(param.opts[0])
        elif param.multiple:
            words += [word for item in value for word in (param.opts[0], item)]
        else:
            words += [param.opts[0], written(value)]
    return words


def written(value: Any) -> str:
    """A value as it is typed."""
    return str(value.total_seconds() if hasattr(value, "total_seconds") else value)

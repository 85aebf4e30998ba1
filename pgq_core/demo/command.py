"""demo."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from pgq_core.demo.files import find
from pgq_core.demo.screen import Screen
from pgq_core.demo.stage import Wishes, perform
from pgq_core.errors import InvalidInput

INTERRUPTED = 130
DIRECTORY = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command("demo")
@click.argument("directory", required=False, type=DIRECTORY)
@click.option("--dsn", metavar="URL", allow_from_autoenv=False,
              help="A database of yours instead of a temporary server (PGQ_DSN, DATABASE_URL and "
              "PGHOST count too); a schema is made in it and removed.")  # fmt: skip
@click.option("--workers", type=click.IntRange(1, 64), default=Wishes.workers, show_default=True,
              help="Worker processes.")  # fmt: skip
@click.option("--concurrency", type=click.IntRange(1, 1000), default=Wishes.concurrency,
              show_default=True, help="Jobs at a time in each.")  # fmt: skip
@click.option("--no-kill", is_flag=True, help="Spare the worker that would be killed.")
@click.option("--keep", is_flag=True, help="Keep the schema in your database, to look around.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def demo(
    ctx: click.Context,
    /,
    directory: Path | None,
    dsn: str | None,
    no_kill: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Hash and count every file below DIRECTORY, one job per file.

    DIRECTORY is Python's standard library unless given. Several worker processes share the work;
    one is killed in the middle and replaced; every result is checked against a plain loop. Exit
    code 1 when a result differs, or a job is lost, failed or unfinished.
    """
    # The program's --dsn, when it stood before the command.
    wishes = Wishes(dsn or getattr(ctx.obj, "dsn", None), kill=not no_kill, **given)
    if wishes.keep and wishes.own_server:
        raise click.UsageError("--keep needs --dsn: the temporary server goes with its data")
    files = find(directory)
    if not files.paths:
        raise InvalidInput(f"there is no readable file below {files.root}; give another DIRECTORY")
    screen = Screen(as_json)
    screen.say(f"{len(files.paths):,} files below {files.root}")
    try:
        report = perform(wishes, files, screen)
    except asyncio.CancelledError:
        return INTERRUPTED
    screen.conclude(report)
    return 0 if report.good else 1

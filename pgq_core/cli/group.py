"""The root command, and what every command knows: which database, which schema."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import click
from click.core import ParameterSource

from pgq_core.app import PgQueuer

CONNECT_TIMEOUT = 10.0

EPILOG = """\
\b
Exit codes:
  0  done; for `health`: well
  1  the answer is no: no such job, queue full, not every job could be cancelled, degraded
  2  it could not be tried: wrong usage, no connection, pgq not installed
  130  interrupted
"""


@dataclass
class Where:
    """The database as the command line names it; None leaves it to the environment."""

    dsn: str | None = None
    schema: str | None = None

    def registry(self) -> PgQueuer:
        """A PgQueuer on this schema, without a database yet."""
        return PgQueuer(schema=self.schema)

    def connected(self, pgq: PgQueuer) -> Any:
        """An async context manager that binds `pgq` to this database."""
        return pgq.connected(self.dsn, timeout=CONNECT_TIMEOUT)


def keep(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    """Both the program and each command take these options; what is typed wins, the command's
    before the program's."""
    where, name = ctx.ensure_object(Where), str(param.name)
    typed = ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    if value is not None and (typed or getattr(where, name) is None):
        setattr(where, name, value)


def database_options(autoenv: bool) -> list[click.Option]:
    """`--dsn` and `--schema`. PgQueuer reads PGQ_DSN and so on, here as in anybody's code."""
    return [
        click.Option(
            ["--dsn"],
            metavar="URL",
            callback=keep,
            expose_value=False,
            allow_from_autoenv=autoenv,
            help="The database; else PGQ_DSN, DATABASE_URL, libpq's variables.",
        ),
        click.Option(
            ["--schema"],
            metavar="NAME",
            callback=keep,
            expose_value=False,
            allow_from_autoenv=autoenv,
            help="The schema of pgq's tables; else PGQ_SCHEMA, else public.",
        ),
    ]


class DatabaseCommand(click.Command):
    """A command that takes the database options too, so that their place does not matter."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params += database_options(autoenv=True)


class DatabaseGroup(click.Group):
    """A group that takes the database options too, so that their place does not matter."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params += database_options(autoenv=True)


def command(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare a command on the database."""
    return click.command(name, cls=DatabaseCommand)


def with_queries(function: Callable[..., Awaitable[int | None]]) -> Callable[..., int | None]:
    """Run an async command on a connection: its first argument is `Queries`."""

    @functools.wraps(function)
    def run(**arguments: Any) -> int | None:
        where = click.get_current_context().ensure_object(Where)

        async def body() -> int | None:
            pgq = where.registry()
            async with where.connected(pgq):
                return await function(pgq.queries, **arguments)

        return asyncio.run(body())

    return run


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


@click.group(name="pgq-core", epilog=EPILOG, invoke_without_command=True)
@click.version_option(package_name="pgq-suite", message="%(version)s")
@click.pass_context
def commands(ctx: click.Context) -> None:
    """pgq: a job queue in PostgreSQL.

    Every option can be set by the environment: PGQ_<COMMAND>_<OPTION>, as in
    PGQ_WORKER_CONCURRENCY.
    """
    ctx.ensure_object(Where)
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(2)


commands.params += database_options(autoenv=False)

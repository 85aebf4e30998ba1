"""From exceptions to one line on stderr and an exit code."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg
import click

from pgq_core.db import DISCONNECTED
from pgq_core.errors import EmbeddedServerError, JobError, PgqError, QueueFull

NO, IMPOSSIBLE, INTERRUPTED = 1, 2, 130


def run(group: click.Group, arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code."""
    try:
        code = group.main(
            arguments, prog_name="pgq-core", standalone_mode=False, auto_envvar_prefix="PGQ"
        )
    except click.Abort:
        return INTERRUPTED
    except click.ClickException as error:
        complain(text_of_usage(error))
        return error.exit_code
    except (PgqError, asyncpg.PostgresError, *DISCONNECTED) as error:
        complain(text_of(error))
        return code_of(error)
    return code if isinstance(code, int) else 0


def complain(text: str) -> None:
    """Say it on stderr."""
    click.echo(f"pgq-core: {text}", err=True)


def text_of_usage(error: click.ClickException) -> str:
    """What was wrong and which help says more, in one line."""
    ctx = getattr(error, "ctx", None)
    text = one_line(error.format_message())
    return f"{text} (see `{ctx.command_path} --help`)" if ctx is not None else text


def text_of(error: BaseException) -> str:
    """The message in one line; only the ways to get a server are a list."""
    text = str(error) or type(error).__name__
    if isinstance(error, EmbeddedServerError):
        return text
    if isinstance(error, PgqError):
        return one_line(text)
    return f"the database said no: {one_line(text)} ({type(error).__name__})"


def one_line(text: str) -> str:
    """The same words without line breaks."""
    return " ".join(text.split())


def code_of(error: BaseException) -> int:
    """2 when it could not be tried, 1 when it was tried and the answer is no."""
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return IMPOSSIBLE
    answers = (JobError, QueueFull)
    return IMPOSSIBLE if isinstance(error, PgqError) and not isinstance(error, answers) else NO

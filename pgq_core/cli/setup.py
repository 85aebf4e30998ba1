"""install, upgrade, uninstall."""

from __future__ import annotations

import sys

import click

from pgq_core.cli.group import command, with_queries
from pgq_core.cli.output import say
from pgq_core.errors import InvalidInput
from pgq_core.migrations import VERSION
from pgq_core.queries import Queries, schema


@command("install")
@with_queries
async def install(queries: Queries) -> None:
    """Create pgq's tables; does nothing when they are there and current."""
    found = await schema.initialize(queries.driver, queries.schema)
    say(what_happened(queries.schema, found))


@command("upgrade")
@with_queries
async def upgrade(queries: Queries) -> None:
    """Bring installed tables to this program's version."""
    async with queries.driver.transaction() as connection:
        found = await schema.version_of(connection, queries.schema)
    if found != VERSION:
        # An upgrade that installs would hide a wrong --schema.
        await queries.call("version")
    found = await schema.initialize(queries.driver, queries.schema)
    say(what_happened(queries.schema, found))


def what_happened(name: str, found: int) -> str:
    """From which version to which."""
    if found == VERSION:
        return f"pgq is current in schema {name!r} (version {VERSION})"
    if found == 0:
        return f"pgq installed in schema {name!r} (version {VERSION})"
    return f"pgq upgraded in schema {name!r}, version {found} to {VERSION}"


@command("uninstall")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_queries
async def uninstall(queries: Queries, yes: bool) -> int | None:
    """Remove everything pgq created, jobs included; your own tables stay."""
    await queries.call("version")
    if not yes and not sys.stdin.isatty():
        raise InvalidInput("uninstall deletes every job; nobody is here to ask, so give --yes")
    question = f"Delete every job and all of pgq's tables in schema {queries.schema!r}?"
    if not yes and not click.confirm(question, err=True):
        say("nothing removed")
        return 1
    await queries.uninstall()
    say(f"pgq removed from schema {queries.schema!r}")
    return None

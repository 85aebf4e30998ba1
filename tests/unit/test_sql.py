"""Statements: one file each, parameters by name, our objects qualified."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from pgq_core import migrations, sql
from pgq_core.doctor.blueprint import blueprint
from pgq_core.sql import load, parse, quote

NAMES = sorted(
    entry.name.removesuffix(".sql") for entry in files(sql).iterdir() if entry.name.endswith(".sql")
)


def test_parameters_are_numbered() -> None:
    """A named parameter becomes a number, the same one each time it is used."""
    statement = parse("SELECT :b, :a, :b", "s")
    assert statement.text == "SELECT $1, $2, $1"
    assert statement.names == ("b", "a")
    assert statement.bind({"a": 1, "b": 2}) == [2, 1]


def test_our_objects_are_qualified() -> None:
    """Names that begin with pgq_ are looked up in the schema given, whatever its name."""
    text = parse("SELECT x FROM pgq_jobs AS j, my_pgq_jobs WHERE j.x = pgq_f(1)", 'odd "one"').text
    assert text == (
        'SELECT x FROM "odd ""one""".pgq_jobs AS j, my_pgq_jobs WHERE j.x = "odd ""one""".pgq_f(1)'
    )


@pytest.mark.parametrize(
    "text",
    [
        "SELECT ':name pgq_jobs'",
        "SELECT 'it''s :name'",
        "SELECT 1::text",
        "SELECT now()::timestamptz",
    ],
)
def test_literals_and_casts_stay(text: str) -> None:
    """Nothing is replaced in a literal, and a cast is no parameter."""
    assert parse(text, "s").text == text
    assert parse(text, "s").names == ()


def test_comments_go() -> None:
    """Comments are left out, whatever they mention."""
    statement = parse("-- :no pgq_no 'no\nSELECT :yes -- and :no\n;\n", "s")
    assert statement.names == ("yes",)
    assert statement.text == "SELECT $1"


@pytest.mark.parametrize(("name", "quoted"), [("a", '"a"'), ('a"b', '"a""b"'), ("A b", '"A b"')])
def test_identifiers_are_quoted(name: str, quoted: str) -> None:
    """An identifier is quoted, with its quotes doubled."""
    assert quote(name) == quoted


def test_a_missing_value_is_an_error() -> None:
    """A statement is not run when a parameter has no value."""
    with pytest.raises(KeyError, match="b"):
        parse("SELECT :a, :b", "s").bind({"a": 1})


@pytest.mark.parametrize("name", NAMES)
def test_every_file_begins_with_what_it_does(name: str) -> None:
    """Every statement's file begins with a comment that says what it does."""
    source = files(sql).joinpath(f"{name}.sql").read_text("utf-8")
    assert source.startswith("-- ")
    assert source.endswith(";\n")
    assert source.rstrip().count(";") - source.count("';'") >= 1


@pytest.mark.parametrize("name", NAMES)
def test_every_file_holds_one_statement(name: str) -> None:
    """Every file holds one statement, so that it can be prepared."""
    assert ";" not in load(name, "s").text


async def test_every_statement_can_be_prepared(conn: object) -> None:
    """The server understands every statement, parameters included."""
    prepare = conn.prepare  # type: ignore[attr-defined]
    for name in NAMES:
        statement = load(name, "public")
        prepared = await prepare(statement.text)
        assert len(prepared.get_parameters()) == len(statement.names), name


def test_versions_follow_each_other() -> None:
    """The schema's versions are numbered from 1 without a gap."""
    assert list(migrations.versions()) == list(range(1, migrations.VERSION + 1))


def test_uninstall_names_everything() -> None:
    """Whatever the migrations make is named where it is removed; indexes and triggers go along."""
    script = migrations.drop_script("s")
    made = {name for kind, name in blueprint() if kind in ("table", "view", "sequence", "function")}
    assert made == set(re.findall(r"\bpgq_\w+", re.sub(r"--.*", "", script)))


def test_an_upgrade_contains_only_what_is_missing() -> None:
    """An upgrade from the current version does nothing but note the version."""
    script = migrations.upgrade_script("s", migrations.VERSION)
    assert "CREATE" not in script
    assert f"pgq_set_version({migrations.VERSION})" in script

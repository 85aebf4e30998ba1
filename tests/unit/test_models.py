"""Jobs before they are written: checked and encoded, or refused by name."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgq_core.errors import InvalidInput
from pgq_core.models import (
    Job,
    JobState,
    NewJob,
    Priority,
    check_jsonb_text,
    due_of,
    encode_headers,
    encode_payload,
    row_of,
)

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def a_job(**fields: Any) -> Job:
    given: dict[str, Any] = {
        "id": 1, "queue": "default", "entrypoint": "work", "priority": 5, "attempt": 1,
        "max_attempts": 5, "payload": b"", "headers": {}, "created_at": NOW, "run_at": None,
        "state": JobState.RUNNING,
    }  # fmt: skip
    return Job(**given | fields)


def deep(levels: int) -> list[Any]:
    """A list in a list in a list."""
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def test_the_defaults() -> None:
    """A job of which only the name is given has queue `default`, priority 5 and no payload."""
    row = row_of(NewJob("work"))
    assert (row.entrypoint, row.queue, row.priority, row.payload) == ("work", "default", 5, None)
    assert {row.run_at, row.delay, row.unique_key, row.headers, row.max_attempts} == {None}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"entrypoint": ""}, "entrypoint"),
        ({"entrypoint": None}, "NoneType"),
        ({"entrypoint": 7}, "7"),
        ({"entrypoint": "a\x00b"}, "NUL"),
        ({"entrypoint": "\ud800"}, "entrypoint"),
        ({"entrypoint": "x" * 1001}, "1001 bytes"),
        ({"entrypoint": "ü" * 501}, "1002 bytes"),
        ({"queue": ""}, "queue"),
        ({"queue": b"q"}, "bytes"),
        ({"priority": 32768}, "32768"),
        ({"priority": -32769}, "-32769"),
        ({"priority": 1.5}, "float"),
        ({"priority": True}, "bool"),
        ({"priority": "high"}, "'high'"),
        ({"max_attempts": 0}, "max_attempts=0"),
        ({"max_attempts": -1}, "-1"),
        ({"max_attempts": 40000}, "40000"),
        ({"timeout": 0}, "timeout=0"),
        ({"timeout": -1.0}, "-1.0"),
        ({"timeout": math.inf}, "inf"),
        ({"timeout": math.nan}, "nan"),
        ({"timeout": True}, "True"),
        ({"delay": -1}, "delay=-1"),
        ({"delay": math.nan}, "nan"),
        ({"delay": math.inf}, "inf"),
        ({"delay": "1 hour"}, "'1 hour'"),
        ({"delay": timedelta(seconds=-1)}, "delay"),
        ({"delay": 1e12}, "100 years"),
        ({"run_at": datetime(2026, 1, 1)}, "time zone"),  # noqa: DTZ001  (the point)
        ({"run_at": timedelta(seconds=-1)}, "run_at"),
        ({"run_at": 5.0, "delay": 5.0}, "only one"),
        ({"run_at": NOW, "delay": 0}, "only one"),
        ({"unique_key": ""}, "unique_key"),
        ({"unique_key": "\x00"}, "unique_key"),
        ({"unique_key": 7}, "unique_key=7"),
        ({"concurrency_key": ""}, "concurrency_key"),
        ({"headers": []}, "headers"),
        ({"headers": {1: 2}}, "headers"),
        ({"headers": {"a": math.nan}}, "headers"),
        ({"headers": {"a": "\x00"}}, "NUL"),
        ({"headers": {"\x00": 1}}, "NUL"),
        ({"headers": {"a": "\ud800"}}, "Unicode"),
        ({"headers": {"a": object()}}, "headers"),
        ({"payload": object()}, "object"),
        ({"payload": {"a": math.inf}}, "JSON"),
        ({"payload": {1, 2}}, "set"),
        ({"payload": "\ud800"}, "payload"),
        ({"payload": deep(100_000)}, "payload is nested more than 500 levels"),
        ({"payload": deep(600)}, "payload is nested more than 500 levels"),
        ({"headers": {"a": deep(100_000)}}, "headers is nested more than 500 levels"),
        ({"headers": deep(100_000)}, "list"),
        ({"headers": {"a": deep(600)}}, "500 levels"),
        ({"headers": {"a": [['"['], *deep(600)]}}, "500 levels"),
    ],
)
def test_what_cannot_be_written_is_refused(wrong: dict[str, Any], named: str) -> None:
    """A value that cannot be written is refused with a message that names it."""
    with pytest.raises(InvalidInput) as raised:
        row_of(NewJob(**{"entrypoint": "work"} | wrong))
    assert named in str(raised.value)
    assert isinstance(raised.value, ValueError)


@pytest.mark.parametrize(
    "headers", [{"a": [[]] * 1000}, {"a": '"[{' * 1000}, {"a": deep(400)}, {'\\"[': ["[" * 501]}]
)
def test_many_brackets_are_not_deep(headers: dict[str, Any]) -> None:
    """Headers may be long, and hold any text; only what is nested too deeply is refused."""
    assert json.loads(encode_headers(headers) or "") == headers


@pytest.mark.parametrize("size", [100, 101])
def test_the_payloads_limit(size: int) -> None:
    """A payload above the limit is refused with both sizes and a way out; one at it is taken."""
    job = NewJob("work", b"x" * size)
    if size <= 100:
        assert row_of(job, max_payload=100).payload == b"x" * size
    else:
        with pytest.raises(InvalidInput, match="101 bytes, the limit is 100"):
            row_of(job, max_payload=100)


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (None, None),
        (b"", b""),
        (b"\x00\xff", b"\x00\xff"),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"ab"), b"ab"),
        ("größe", "größe".encode()),
        ({"a": [1, None]}, b'{"a": [1, null]}'),
        (0, b"0"),
        (False, b"false"),
        ([], b"[]"),
    ],
)
def test_payloads(value: Any, data: bytes | None) -> None:
    """Bytes go as they are, a str as UTF-8, anything else as JSON."""
    assert encode_payload(value) == data


@given(JSON)
def test_a_json_payload_comes_back(value: Any) -> None:
    """What JSON can hold comes back from `job.json()` as it was."""
    try:
        data = encode_payload(value)
    except InvalidInput:
        return
    if value is not None and not isinstance(value, str):
        assert a_job(payload=data).json() == json.loads(json.dumps(value))


def test_no_payload_is_none() -> None:
    """`job.json()` of a job without payload is None."""
    assert a_job().json() is None


def test_a_payload_nobody_can_read() -> None:
    """`job.json()` of a payload that is nested beyond all measure raises ValueError, by the job."""
    with pytest.raises(InvalidInput, match="payload of job 1 is nested too deeply"):
        a_job(payload=b"[" * 100_000 + b"]" * 100_000).json()


@given(st.text())
def test_exactly_what_jsonb_takes(text: str) -> None:
    """Headers are refused when, and only when, they hold NUL or lone surrogates."""
    storable = "\x00" not in text and not any(0xD800 <= ord(c) <= 0xDFFF for c in text)
    for headers in ({"key": text}, {text: 1}, {"a": [{"b": text}]}):
        try:
            encode_headers(headers)
            taken = True
        except InvalidInput:
            taken = False
        assert taken is storable


@pytest.mark.parametrize("text", [r'"\\u0000"', r'"\\\\u0000"', '"𝄞"'])
def test_what_only_looks_like_nul_is_taken(text: str) -> None:
    """A backslash before u0000, or a surrogate pair, is ordinary text."""
    check_jsonb_text("headers", text)


@pytest.mark.parametrize("text", [r'"\u0000"', r'"\\\u0000"', r'"\ud834"', r'{"\u0000": 1}'])
def test_nul_however_it_is_written(text: str) -> None:
    """An escaped NUL or half of a pair is refused wherever it stands."""
    with pytest.raises(InvalidInput):
        check_jsonb_text("headers", text)


def test_due_times() -> None:
    """A due time is an aware datetime as it is, or seconds from the database's now."""
    assert due_of(None, None) == (None, None)
    assert due_of(NOW, None) == (NOW, None)
    assert due_of(timedelta(minutes=1), None) == (None, 60.0)
    assert due_of(None, timedelta(minutes=1)) == (None, 60.0)
    assert due_of(None, 0) == (None, 0.0)


@given(st.integers(-32768, 32767))
def test_every_smallint_is_a_priority(priority: int) -> None:
    """Any smallint can be a priority, the names among them."""
    assert row_of(NewJob("work", priority=priority)).priority == priority


def test_priorities_have_names() -> None:
    """Lower runs first: critical 0, high 1, normal 5, low 10; a name is as good as its number."""
    assert sorted(Priority) == [0, 1, 5, 10]
    assert row_of(NewJob("work", priority=Priority.HIGH)).priority == 1


@pytest.mark.parametrize("state", JobState)
def test_finished_states(state: JobState) -> None:
    """Succeeded, failed and cancelled are final; nothing else is."""
    assert state.finished is (state.value in ("succeeded", "failed", "cancelled"))

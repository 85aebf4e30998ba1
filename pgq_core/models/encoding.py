"""Payloads and JSON, as PostgreSQL takes them and every reader can read them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pgq_core.errors import InvalidInput
from pgq_core.options import MAX_PAYLOAD

MAX_DEPTH = 500  # Python 3.10 reads about 900 levels, PostgreSQL about 10,000
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"')
_BRACKETS = re.compile(r"[][{}]")


def encode_payload(value: Any, limit: int = MAX_PAYLOAD) -> bytes | None:
    """Bytes as they are, a str as UTF-8, anything else as JSON."""
    if value is None:
        return None
    if isinstance(value, (bytes, bytearray, memoryview)):
        data = bytes(value)
    else:
        try:
            text = value if isinstance(value, str) else json.dumps(value, allow_nan=False)
            data = text.encode()
        except RecursionError:
            raise too_deep("payload") from None
        except (TypeError, ValueError) as error:
            raise InvalidInput(
                f"payload of type {type(value).__name__} cannot be written as JSON ({error}); "
                "give bytes, a str, or values JSON can hold"
            ) from None
        if text is not value:  # a str is the caller's own affair, as bytes are
            check_depth("payload", text)
    if len(data) > limit:
        raise InvalidInput(
            f"payload is {len(data)} bytes, the limit is {limit}; store it elsewhere and enqueue "
            "its key, or raise max_payload"
        )
    return data


def encode_headers(headers: Mapping[str, Any] | None) -> str | None:
    """Headers as JSON text that jsonb takes: a dict with str keys, no NaN, no NUL."""
    if headers is None:
        return None
    if not isinstance(headers, Mapping) or not all(isinstance(key, str) for key in headers):
        raise InvalidInput(f"headers= is a {type(headers).__name__}: give a dict with str keys")
    return encode_jsonb("headers", dict(headers))


def encode_jsonb(name: str, value: Any) -> str:
    """A value as JSON text that PostgreSQL's jsonb accepts."""
    try:
        text = json.dumps(value, allow_nan=False)
    except RecursionError:
        raise too_deep(name) from None
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{name} cannot be written as JSON: {error}") from None
    check_jsonb_text(name, text)
    return text


def check_jsonb_text(name: str, text: str) -> None:
    """Refuse what json.dumps writes and jsonb does not take: deep nesting, NUL, lone surrogates."""
    check_depth(name, text)
    if "\\u" not in text:
        return
    plain = json.dumps(json.loads(text), ensure_ascii=False)
    if "\\u0000" in plain.replace("\\\\", ""):
        raise InvalidInput(f"{name} holds a NUL character, which jsonb cannot store; remove it")
    try:
        plain.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{name} holds text that is not valid Unicode: {error}") from None


def check_depth(name: str, text: str) -> None:
    """Refuse JSON that is nested deeper than every reader's stack holds, PostgreSQL's included."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            raise too_deep(name)


def too_deep(name: str) -> InvalidInput:
    """The error for values that nobody could read back."""
    return InvalidInput(f"{name} is nested more than {MAX_DEPTH} levels deep; flatten it")

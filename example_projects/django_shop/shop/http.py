"""Talk to the payment provider and the warehouse."""

import json
import urllib.error
import urllib.request
from typing import Any


class Refused(Exception):
    """The other side said no, and will say so again."""


def post(url: str, data: dict[str, Any]) -> dict[str, Any]:
    """Send JSON, read JSON. Raises Refused for 4xx, OSError for what may pass."""
    body = json.dumps(data).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        if 400 <= error.code < 500:
            raise Refused(f"{url} answered {error.code}") from error
        raise

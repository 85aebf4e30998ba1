"""What a page of the admin costs, counted in blocks that its queries touch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext


@dataclass
class Cost:
    """The blocks, the rows read from tables, the database's milliseconds, and the page itself."""

    blocks: int
    rows: int
    milliseconds: float
    page: str


def cost(client: Client, address: str, **params: Any) -> Cost:
    """Fetch a page, then explain each of its queries on our tables."""
    with CaptureQueriesContext(connection) as captured:
        response = client.get(address, params)
    assert response.status_code == 200, response
    found = Cost(0, 0, 0.0, response.content.decode())
    for query in captured.captured_queries:
        if "pgq_" in query["sql"] and query["sql"].lstrip().startswith(("SELECT", "WITH", "--")):
            answer = explained(query["sql"])
            plan = answer["Plan"]
            found.milliseconds += answer["Execution Time"]
            found.blocks += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
            found.rows += sum(scanned(plan))
    return found


def explained(statement: str) -> dict[str, Any]:
    """What EXPLAIN says of a statement that was run."""
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement)
        answer = cursor.fetchone()[0]
    plans: list[Any] = json.loads(answer) if isinstance(answer, str) else answer
    found: dict[str, Any] = plans[0]
    return found


def scanned(plan: dict[str, Any]) -> list[int]:
    """Rows that the leaves of a plan have read, those filtered out included."""
    below = [rows for part in plan.get("Plans", ()) for rows in scanned(part)]
    if "Relation Name" not in plan:
        return below
    each = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
    return [*below, int(each * plan["Actual Loops"])]

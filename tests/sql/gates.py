"""Functions of the schema with a gate before each of their statements, to be opened one by one.

A session that has said which actor it is waits at a gate for an advisory lock that the scheduler
holds; so the server itself says who stands where, and no clock is asked. Gates change nothing else:
in READ COMMITTED every statement of a function takes its own snapshot anyway.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

# Numbers are drawn from a temporary sequence of the session: that needs no transaction id.
GATE = """
CREATE FUNCTION pgq_gate() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_actor integer := nullif(current_setting('pgq.actor', TRUE), '')::integer;
    v_turn integer;
BEGIN
    IF v_actor IS NOT NULL THEN
        v_turn := nextval('pg_temp.pgq_turn'::text::regclass);
        PERFORM pg_advisory_lock_shared(v_actor, v_turn);
        PERFORM pg_advisory_unlock_shared(v_actor, v_turn);
    END IF;
END
$$;
"""
STATEMENT = re.compile(r" +(SELECT|WITH|INSERT|DELETE|UPDATE|PERFORM|RETURN QUERY|FOR|IF)\b")
BEFORE = re.compile(r"(;|\b(THEN|ELSE|LOOP|BEGIN))$")
# What others write, and the locks that others take: everything else is nobody's business.
SHARED = re.compile(
    r"\bpgq_(ready|deferred|blocked|leases|attempts|jobs|locks|holders|positions)\b|advisory"
)


def gated(script: str, functions: Iterable[str]) -> str:
    """The script with gates in these functions. Raises AssertionError when one is not there."""
    for name in functions:
        function = re.compile(rf"CREATE FUNCTION {name}\(.*?\n\$\$;", re.DOTALL)
        found = function.search(script)
        assert found, f"no function {name}"
        body = "\n".join(with_gates(found[0].splitlines()))
        assert "pgq_gate" in body, f"{name} has no statement to stop at"
        script = script.replace(found[0], body)
    return GATE + script


def with_gates(lines: list[str]) -> Iterator[str]:
    """The lines of one function, each statement that concerns others behind a gate."""
    begun, depth, last = False, 0, ""
    for number, line in enumerate(lines):
        code = line.partition("--")[0].rstrip()
        starts = begun and depth == 0 and STATEMENT.match(line) and BEFORE.search(last)
        if starts and SHARED.search(statement(lines[number:])):
            yield "    PERFORM pgq_gate();"
        yield line
        begun = begun or line == "BEGIN"
        depth += code.count("(") - code.count(")")
        last = code or last


def statement(lines: list[str]) -> str:
    """The statement that begins on the first line; of a loop its query, of an IF its condition."""
    ends = {"FOR": r"\bLOOP\b", "IF": r"\bTHEN\b"}
    text = "\n".join(line.partition("--")[0] for line in lines)
    return re.split(ends.get(text.split()[0], ";"), text, maxsplit=1)[0]

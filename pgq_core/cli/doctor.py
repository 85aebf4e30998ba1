"""doctor."""

from __future__ import annotations

from pgq_core.cli.group import command, json_option, with_queries
from pgq_core.cli.output import print_json, say
from pgq_core.doctor import Finding, examine, exit_code
from pgq_core.queries import Queries


@command("doctor")
@json_option
@with_queries
async def doctor(queries: Queries, as_json: bool) -> int:
    """Say what is wrong and how to mend it: 0 healthy, 1 warnings, 2 errors. Only reads."""
    findings = await examine(queries)
    if as_json:
        print_json({"findings": [finding.as_dict() for finding in findings]})
    elif not findings:
        say("healthy")
    for finding in () if as_json else findings:
        print_finding(finding)
    return exit_code(findings)


def print_finding(finding: Finding) -> None:
    """What is wrong, and below it the way out."""
    say(f"{finding.severity.value}: {finding.name}: {finding.what}")
    for line in f"mend: {finding.mend}".splitlines():
        say(f"    {line}")

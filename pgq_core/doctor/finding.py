"""What the doctor says, as data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any


class Severity(str, Enum):
    """`ERROR`: jobs do not run, or will not much longer. `WARNING`: they will run worse."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


ORDER = (Severity.INFO, Severity.WARNING, Severity.ERROR)


@dataclass(frozen=True)
class Finding:
    """One thing somebody should look at. `facts` are the numbers and names in `what`."""

    name: str
    severity: Severity
    what: str
    mend: str
    facts: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "severity": self.severity.value}


def exit_code(findings: Iterable[Finding]) -> int:
    """0: healthy; 1: warnings; 2: errors."""
    return max((ORDER.index(finding.severity) for finding in findings), default=0)

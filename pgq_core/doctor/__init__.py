"""The doctor: what is wrong with a queue, and the command or setting that mends it."""

from pgq_core.doctor.examination import examine
from pgq_core.doctor.finding import Finding, Severity, exit_code
from pgq_core.doctor.limits import Limits

__all__ = ["Finding", "Limits", "Severity", "examine", "exit_code"]

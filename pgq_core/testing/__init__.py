"""For the tests of programs that use pgq: on a real PostgreSQL, in this process.

A pytest plugin comes with it: the fixtures `pgq_database` and `pgq_clock`.
"""

from pgq_core.testing.clock import Clock
from pgq_core.testing.databases import Databases
from pgq_core.testing.looking import assert_enqueued, enqueued
from pgq_core.testing.recorder import Ran
from pgq_core.testing.running import run_job, run_pending

__all__ = ["Clock", "Databases", "Ran", "assert_enqueued", "enqueued", "run_job", "run_pending"]

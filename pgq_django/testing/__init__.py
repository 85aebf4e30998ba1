"""For tests of sites that use pgq: run jobs inside a `TestCase`, look at what was enqueued.

from pgq_django.testing import assert_enqueued, immediate, run_pending
"""

from pgq_django.testing.assertions import assert_enqueued, enqueued
from pgq_django.testing.immediately import immediate
from pgq_django.testing.pending import Ran, run_pending

__all__ = ["Ran", "assert_enqueued", "enqueued", "immediate", "run_pending"]

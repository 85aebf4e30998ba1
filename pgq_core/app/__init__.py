"""`PgQueuer`: what a program registers, enqueues and runs."""

from pgq_core.app.pgqueuer import PgQueuer

__all__ = ["PgQueuer"]

"""The sentinel: a thread with a connection of its own that hears, beats and holds the lock.

It has its own event loop, so that a handler which blocks the worker's loop leaves the process
"alive, stalled" and not dead. On a direct connection it holds a session lock that PostgreSQL frees
the moment the process is gone. LISTEN is tested by notifying itself: behind a pooler in transaction
mode it would be accepted and deliver nothing; then we are "polling", take no lock, and say so. A
direct line (`connect`) beside the pooler brings both back. Where nothing arrives and no pooler
explains it, or on a line that was said to be direct, we poll too, but are "deaf": a fault.
"""

from pgq_core.listener.sentinel import Sentinel

__all__ = ["Sentinel"]

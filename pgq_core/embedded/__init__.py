"""A private PostgreSQL server that lives exactly as long as the process that started it.

For demos and tests. The binaries come from the ``[embedded]`` extra or from any installed
PostgreSQL; the launcher is ours, because a demo must not create system accounts, change the
modes of somebody's home or leave a server behind.
"""

from pgq_core.embedded.binaries import find_binaries
from pgq_core.embedded.server import EmbeddedServer

__all__ = ["EmbeddedServer", "find_binaries"]

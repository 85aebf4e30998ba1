"""One file per peer: how to install, enqueue, run workers, and see what has been acknowledged."""

"""The demo: real work on real files, a worker killed in the middle, every result checked."""

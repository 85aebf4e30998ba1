"""Faults against a real server, judged by an oracle outside the queue: `python -m tests.chaos`."""

"""Run tasks: what a worker registers for each of them, and the process around it."""

"""Measurements: `python -m benchmarks --help`. Ratios are the result; the machine is noisy."""

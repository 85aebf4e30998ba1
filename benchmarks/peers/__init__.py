"""Other queues beside ours, each tuned by its own manual: `python -m benchmarks.peers --help`."""

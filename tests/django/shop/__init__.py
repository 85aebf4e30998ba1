"""A small app with tasks."""

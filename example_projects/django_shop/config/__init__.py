"""The shop's configuration."""

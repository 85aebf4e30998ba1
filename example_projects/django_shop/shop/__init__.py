"""A small shop: orders, payments, a warehouse, a nightly report."""

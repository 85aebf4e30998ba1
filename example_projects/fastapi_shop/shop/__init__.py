"""A shop: orders over HTTP, charged and shipped by jobs."""

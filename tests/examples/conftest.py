"""Skipped where FastAPI or SQLAlchemy is not installed."""

from importlib.util import find_spec

from tests.fastapi.conftest import serve

__all__ = ["serve"]

needed = ("fastapi", "httpx", "uvicorn", "sqlalchemy", "prometheus_client")
absent = [name for name in needed if find_spec(name) is None]
collect_ignore_glob = ["test_fastapi_*.py", "test_mixed*.py"] if absent else []

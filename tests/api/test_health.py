"""Health: whether this instance and its database can serve."""

from datetime import datetime

import httpx
import pytest

from lib import __version__


@pytest.mark.parametrize("path", ["/api/health", "/health"])
def test_a_working_service_is_healthy(api: httpx.Client, path: str) -> None:
    answer = api.get(path)

    body = answer.json()
    assert answer.status_code == 200
    assert body["status"] == "healthy"
    assert body["version"] == __version__
    assert datetime.fromisoformat(body["timestamp"]).utcoffset() is not None
    assert body["checks"]["database"]["status"] == "connected"
    assert body["checks"]["database"]["latencyMs"] > 0
    assert body["checks"]["database"]["pgvector"].startswith("0.")
    assert body["checks"]["migrations"] == {"status": "up to date", "pending": []}

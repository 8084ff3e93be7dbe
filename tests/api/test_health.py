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


def test_says_whether_statements_are_prepared(api: httpx.Client, request: pytest.FixtureRequest) -> None:
    behind_pgbouncer = request.config.getoption("--pgbouncer")

    assert api.get("/api/health").json()["checks"]["database"]["preparedStatements"] == (not behind_pgbouncer)


def test_liveness_asks_the_process_alone(api: httpx.Client) -> None:
    answer = api.get("/api/health", params={"probe": "liveness"})

    assert (answer.status_code, answer.json()["status"], answer.json()["checks"]) == (200, "healthy", {})
    assert "db;dur=0.0" in answer.headers["server-timing"]

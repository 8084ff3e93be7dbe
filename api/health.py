"""GET /api/health, /health: whether this instance and its database can serve. Needs no key."""

import json
import time
from datetime import UTC, datetime

from lib import __version__, config, db, errors, health
from lib.models import HealthQuery
from lib.web import Request, Response, endpoint


async def read_health(request: Request) -> Response:
    ready = request.query(HealthQuery).probe == "readiness"
    status, checks = await _readiness() if ready else ("healthy", {})
    answer = {
        "status": status,
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "version": __version__,
        "checks": checks,
    }
    body = json.dumps(answer).encode()
    if status == "unhealthy":
        return Response(503, body, {"retry-after": str(errors.RETRY_AFTER_SECONDS)})
    return Response(200, body)


async def _readiness() -> tuple[str, dict[str, object]]:
    started = time.perf_counter()
    database, prepared = health.Database(pgvector=None, applied=[]), None
    try:
        async with db.connection() as conn:
            prepared = conn.prepare_threshold is not None
            database = await health.read(conn)
    except errors.MigrationsPending:
        pass  # never migrated: all of them are pending
    except errors.Unavailable as problem:
        return "unhealthy", {"database": {"status": "disconnected", "error": problem.detail}}
    settings = config.settings()
    pending = health.pending(database.applied)
    checks = {
        "database": {
            "status": "connected",
            "latencyMs": round((time.perf_counter() - started) * 1000, 1),
            "pooled": settings.pooled,
            "preparedStatements": prepared,
            "pgvector": database.pgvector,
        },
        "migrations": {"status": "pending" if pending else "up to date", "pending": pending},
    }
    degraded = pending or (settings.on_vercel and not settings.pooled)
    return "degraded" if degraded else "healthy", checks


app = endpoint("/api/health", public=True, GET=read_health)

"""GET /api/health, /health: whether this instance and its database can serve. Needs no key."""

import json
import time
from datetime import UTC, datetime

from lib import __version__, config, db, errors, health
from lib.web import Request, Response, endpoint


async def read_health(_: Request) -> Response:
    started = time.perf_counter()
    checks: dict[str, object]
    try:
        async with db.connection() as conn:
            database = await health.read(conn)
        settings = config.settings()
        pending = health.pending(database.applied)
        degraded = bool(pending) or (settings.on_vercel and not settings.pooled)
        status = "degraded" if degraded else "healthy"
        checks = {
            "database": {
                "status": "connected",
                "latencyMs": round((time.perf_counter() - started) * 1000, 1),
                "pooled": settings.pooled,
                "pgvector": database.pgvector,
            },
            "migrations": {"status": "pending" if pending else "up to date", "pending": pending},
        }
    except errors.Unavailable as problem:
        status = "unhealthy"
        checks = {"database": {"status": "disconnected", "error": problem.detail}}
    answer = {
        "status": status,
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "version": __version__,
        "checks": checks,
    }
    return Response(503 if status == "unhealthy" else 200, json.dumps(answer).encode())


app = endpoint(GET=read_health)

"""The log: one line of JSON each, on standard output, where Vercel takes it from.

Must never write content, keys, a query string or a client's path, nor a line that a client can make long.
"""

import json
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime

from lib.web.answers import Response
from lib.web.requests import Request

# Characters of a method: the longest that is registered has 16. What a client makes up may have thousands.
MAX_METHOD = 16

# Calls of a failure's trace, the innermost.
MAX_FRAMES = 20


def request_line(request: Request, response: Response, ms: float, db_ms: float, failure: str | None) -> None:
    """The line of a request that has been answered; ms and db_ms are milliseconds."""
    line = {
        "level": "error" if response.status >= 500 else "info",
        "requestId": request.id,
        "method": request.method[:MAX_METHOD],
        "route": request.route,
        "status": response.status,
        "ms": round(ms, 2),
        "dbMs": round(db_ms, 2),
        "code": response.code,
    }
    write(line | ({"failure": failure} if failure else {}))


def trace(error: BaseException) -> str:
    """Where error was raised. Its message stays out: it may quote content."""
    frames = traceback.extract_tb(error.__traceback__, limit=-MAX_FRAMES)
    places = " < ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    return f"{type(error).__qualname__} at {places}"


def write(line: Mapping[str, object]) -> None:
    """Any other line."""
    print(json.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **line}), flush=True)  # noqa: T201 - stdout is the log

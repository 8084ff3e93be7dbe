"""Calls the API of one tree in process, without a server, as `against` tells it, and says how long each call took.

Reads a line of JSON at a time from standard input, a list of [method, target, body], and answers with a line for each:
the milliseconds of these calls, and the last answer's body. Run from this tree also for another one, which may not have
it: that tree is first on the path, and this file uses nothing of it but its Router, an ASGI application.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import unquote

from scripts.stack.router import ROOT, Router


async def call(app: Router, method: str, target: str, text: str) -> tuple[float, bytes]:
    """The milliseconds of a call and its answer's body. Raises RuntimeError for any answer but a 2xx."""
    path, _, query = target.partition("?")
    body = text.encode()
    headers = [(b"host", b"127.0.0.1"), (b"accept", b"*/*")]
    if body:
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": headers,
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 3000),
    }
    answer: list[MutableMapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        answer.append(message)

    started = time.perf_counter()
    await app(scope, receive, send)
    milliseconds = (time.perf_counter() - started) * 1000
    content = b"".join(message.get("body", b"") for message in answer)
    if answer[0]["status"] // 100 != 2:
        raise RuntimeError(f"unexpected answer to {method} {target}: {content[:400]!r}")
    return milliseconds, content


async def serve(answers: TextIO) -> None:
    """Answers every line of standard input until there is no more."""
    app = Router()
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    states: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
    async with asyncio.TaskGroup() as group:
        group.create_task(app({"type": "lifespan", "asgi": {"version": "3.0"}}, events.get, states.put))
        events.put_nowait({"type": "lifespan.startup"})
        await states.get()
        # Waiting for a line holds the loop, where nothing is to be done meanwhile.
        for line in sys.stdin:
            done = [await call(app, *one) for one in json.loads(line)]
            print(json.dumps([[ms for ms, _ in done], done[-1][1].decode()]), file=answers, flush=True)
        events.put_nowait({"type": "lifespan.shutdown"})


def main() -> None:
    """Serves the tree in the current folder."""
    assert ROOT.samefile(Path.cwd()), f"this is {ROOT}"
    # Standard output is the service's log: written for every request, as in production, and read by nobody.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    asyncio.run(serve(answers))


if __name__ == "__main__":
    main()

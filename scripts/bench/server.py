"""The dev server with endpoints to measure against, on a listening socket that it is handed: for the bench alone."""

import asyncio
import contextlib
import json
import resource
import socket
import sys
from pathlib import Path

import uvicorn

from lib import db
from lib.web import Receive, Request, Response, Scope, Send, endpoint
from scripts.stack.router import Router


async def noop(_: Request) -> Response:
    """What an endpoint costs that does nothing."""
    return Response(200, b'{"data":null}')


async def select(_: Request) -> Response:
    """What any endpoint costs that sends one statement, the least there is."""
    async with db.connection() as conn:
        await conn.execute("SELECT 1")
    return Response(200, b'{"data":null}')


async def raw(_scope: Scope, _receive: Receive, send: Send) -> None:
    """What the server costs by itself."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"13")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"data":null}'})


async def process(_: Request) -> Response:
    """What this process runs on, whether it has imported tiktoken, and its resident memory in bytes."""
    # uvicorn takes httptools where it is installed.
    parser = "httptools" if "uvicorn.protocols.http.httptools_impl" in sys.modules else "h11"
    answer = {
        "runsOn": f"uvicorn, {parser}, {type(asyncio.get_running_loop()).__module__.partition('.')[0]}",
        "tiktoken": "tiktoken" in sys.modules,
        "residentBytes": resident_bytes(),
    }
    return Response(200, json.dumps(answer).encode())


def resident_bytes() -> int:
    """The memory that this process has resident; where there is no /proc, the most that it ever had."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(descriptor: int) -> None:
    """Serves until SIGTERM, as scripts.dev does."""
    router = Router(noop=endpoint(GET=noop), select=endpoint(GET=select), raw=raw, process=endpoint(GET=process))
    config = uvicorn.Config(router, log_level="warning", access_log=False, lifespan="on", timeout_graceful_shutdown=3)
    with socket.socket(fileno=descriptor) as sock, contextlib.suppress(KeyboardInterrupt):
        asyncio.run(uvicorn.Server(config).serve(sockets=[sock]))


if __name__ == "__main__":
    main(int(sys.argv[1]))

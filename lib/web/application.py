"""Runs an endpoint: a handler for each method, keys, a problem document for whatever goes wrong, a line in the log.

Must never let an exception through: the runtime would answer in plain text.
"""

import contextlib
import gc
import importlib.util
import socket
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from lib import config, db, errors
from lib.errors import Problem
from lib.web import log
from lib.web.answers import Response, problem_document
from lib.web.requests import Disconnected, Receive, Request, Scope

type Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
type App = Callable[[Scope, Receive, Send], Awaitable[None]]
type Handler = Callable[[Request], Awaitable[Response]]

# What vercel-runtime 0.23.2 tries to import of the package `vercel`, which we do not have, with every request.
ABSENT = ("vercel.headers", "vercel.cache.context", "vercel.cache.cache_build")

# Objects between two looks for garbage: Python 3.13's own.
GARBAGE_THRESHOLD = 2_000


def endpoint(route: str | None = None, *, public: bool = False, **handlers: Handler) -> App:
    """The ASGI application of one endpoint file: a handler per method; without any, a path that does not exist.

    route is the endpoint's path with {id} for what varies, which is what the log shows of a path.
    HEAD is answered as GET without the body, OPTIONS with the methods, any other method with 405. Handlers run only
    for requests that carry a key, unless the endpoint is public. A read whose ETag the client has seen becomes a 304.
    """
    if "GET" in handlers:
        handlers["HEAD"] = handlers["GET"]
    allow = ", ".join([*handlers, "OPTIONS"])

    async def answer(request: Request) -> Response:
        if not handlers:
            raise errors.RouteNotFound
        if request.method == "OPTIONS":
            return Response(204, headers={"allow": allow})
        if request.method not in handlers:
            raise errors.MethodNotAllowed(headers={"allow": allow})
        if not public:
            request.authenticate(config.settings().api_keys)
        return _unless_seen(request, await handlers[request.method](request))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        else:
            await _serve(answer, Request(scope, receive, route), send)

    return app


def _unless_seen(request: Request, response: Response) -> Response:
    """The answer to a read, or 304 where the client has it already."""
    etag = response.headers.get("etag")
    if etag and request.method in {"GET", "HEAD"} and request.has_seen(etag):
        return Response(304, headers={"etag": etag})
    return response


async def _lifespan(receive: Receive, send: Send) -> None:
    await receive()
    _send_without_delay()
    _remember_what_is_absent()
    # What is there by now stays, and need not be looked at again.
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)
    with contextlib.suppress(errors.NotConfigured):  # every request will say so
        for message in config.settings().warnings:
            log.write({"level": "warning", "message": message})
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await db.close()
    await send({"type": "lifespan.shutdown.complete"})


def _send_without_delay() -> None:
    """Turns Nagle's algorithm off on the process's sockets: those that listen, and so on what they accept.

    vercel-runtime 0.23.2 leaves it on, and an answer in two pieces then waits 44 ms for the client's ACK (measured). It
    has accepted the connection that woke the process before it comes to this, so that one needs it too.
    """
    # Linux only, as Vercel is; elsewhere there is no such folder.
    for descriptor in Path("/proc/self/fd").glob("*"):
        with contextlib.suppress(OSError):  # most are no sockets, or not of TCP
            sock = socket.socket(fileno=int(descriptor.name))
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            finally:
                sock.detach()  # not ours to close


def _remember_what_is_absent() -> None:
    """Lets imports of ABSENT fail at once.

    The runtime means them to fail, five times a request; but Python does not remember what it has not found, and looks
    through every folder again: 0.3 ms of the 0.9 that a context took (measured).
    """
    if importlib.util.find_spec("vercel"):
        return
    for name in ABSENT:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type] # None is how Python is told


async def _serve(answer: Handler, request: Request, send: Send) -> None:
    started = time.perf_counter()
    watch = db.Stopwatch()
    db.stopwatch.set(watch)
    failure: str | None = None
    try:
        response = await answer(request)
    except Disconnected:
        return
    except Problem as problem:
        response = problem_document(problem, request.id)
    except Exception as error:  # noqa: BLE001 - whatever it is, the client gets a problem document
        failure = log.trace(error)
        response = problem_document(errors.InternalError(), request.id)

    milliseconds = (time.perf_counter() - started) * 1000
    # Before the answer: behind it the platform may freeze the process at any time.
    log.request_line(request, response, milliseconds, watch.ms, failure)
    headers = {
        "content-type": "application/json",
        "content-length": str(len(response.body)),
        "cache-control": "no-store",
        "x-request-id": request.id,
        "server-timing": f"db;dur={watch.ms:.1f}, total;dur={milliseconds:.1f}",
        **{name.lower(): value for name, value in response.headers.items()},
    }
    if response.status in {204, 304}:
        del headers["content-type"], headers["content-length"]
    await send(
        {
            "type": "http.response.start",
            "status": response.status,
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else response.body})

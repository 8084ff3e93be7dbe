"""A bundle that serves on this machine: its functions' processes behind a router that does what the platform does.

    with Deployment(Bundle(folder), {"DATABASE_URL": url}) as deployment:
        httpx.get(deployment.url + "/api/health")

A function's process is started by the first request that needs it, and after its end by the next one. Must never end a
process that it did not start, nor leave a process or a folder behind.
"""

import asyncio
import contextlib
import itertools
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpcore
import uvicorn

from lib.web import Receive, Scope, Send
from scripts.stack.vercel import edge
from scripts.stack.vercel.built import Bundle
from scripts.stack.vercel.edge import Answer, Headers
from scripts.stack.vercel.functions import Function, Instance, StartError
from scripts.stack.vercel.routes import Match

# Seconds after which the router no longer reuses a connection: less than the 5 s after which the runtime closes it.
KEEP_ALIVE = 2.0

# What belongs to one connection and is not passed on (RFC 9110, 7.6.1).
HOP_BY_HOP = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade"})

# What the platform and its runtime tell each other.
INTERNAL = b"x-vercel-internal-"


class Deployment:
    """A bundle that serves on a port of this machine while inside the `with`."""

    def __init__(self, bundle: Bundle, environment: Mapping[str, str], *, instances: int = 1) -> None:
        """environment goes to every function, of which up to instances processes run at once."""
        self.bundle = bundle
        self.url = ""
        self.functions: dict[str, Function] = {}
        self._instances: dict[str, list[Instance]] = {name: [] for name in bundle.functions}
        self._environment = environment
        self._most = instances
        self._turn = itertools.count()
        self._request_ids = itertools.count(1)
        self._starting = {name: asyncio.Lock() for name in bundle.functions}
        self._pools: dict[Instance, httpcore.AsyncConnectionPool] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Serves, on a port that the system chooses. Raises StartError."""
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kata-")))
            for number, (name, built) in enumerate(self.bundle.functions.items()):
                self.functions[name] = Function(built, folder / str(number), self._environment)
            stack.callback(self._stop_instances)
            self._listen(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends every process and removes the task folders."""
        self._stack.close()

    def start(self, name: str) -> Instance:
        """One more process of a function. Raises StartError."""
        instance = self.functions[name].start()
        self._instances[name] = [*self.instances(name), instance]
        return instance

    def instances(self, name: str) -> list[Instance]:
        """The running processes of a function."""
        return [instance for instance in self._instances[name] if instance.running]

    def _stop_instances(self) -> None:
        running = [instance for name in self.functions for instance in self.instances(name)]
        for instance in running:
            instance.terminate()
        for instance in running:
            instance.stop()

    def _listen(self, stack: contextlib.ExitStack) -> None:
        server = uvicorn.Server(
            uvicorn.Config(
                self._serve,
                interface="asgi3",
                http="h11",  # it passes methods on that it does not know
                loop="asyncio",
                host="127.0.0.1",
                port=0,
                lifespan="off",
                log_level="error",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                timeout_graceful_shutdown=1,
            )
        )

        async def main() -> None:
            await server.serve()
            for pool in self._pools.values():
                await pool.aclose()

        thread = threading.Thread(target=asyncio.run, args=[main()])

        def stop() -> None:
            server.should_exit = True
            thread.join()

        thread.start()
        stack.callback(stop)
        while not server.started:
            if not thread.is_alive():
                raise StartError("the router could not listen")
            time.sleep(0.01)
        self.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The router, as an ASGI application."""
        method: str = scope["method"]
        path: str = scope["raw_path"].partition(b"?")[0].decode("latin-1")
        match = self.bundle.routes.find(method, path, scope["query_string"].decode("latin-1"))
        chunks: list[bytes] = []
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            chunks.append(message.get("body", b""))
            more = message.get("more_body", False)

        if match.target in self.functions:
            answer = await self._invoke(match, scope, path, b"".join(chunks))
        else:
            answer = edge.answer(match, self.bundle.static, method)
        headers = edge.complete(answer.headers, match.headers)
        if method != "HEAD" and answer.status not in {204, 304}:
            headers = edge.complete(headers, {"content-length": str(len(answer.body))})
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else answer.body})

    async def _invoke(self, match: Match, scope: Scope, path: str, body: bytes) -> Answer:
        """The function's answer; 502 and 504 where it has none.

        A request is never sent twice, as whether the function has carried it out is not known.
        """
        name = match.target or ""
        try:
            instance = await self._instance(name)
        except StartError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return edge.error(502, "FUNCTION_INVOCATION_FAILED")
        if instance.frozen:
            instance.thaw()
        seconds = self.bundle.functions[name].max_duration
        target = path + ("?" + match.query if match.query else "")
        request = httpcore.Request(
            scope["method"],
            httpcore.URL(scheme="http", host="127.0.0.1", port=instance.port, target=target.encode("latin-1")),
            headers=self._headers(scope),
            content=body,
            extensions={"timeout": dict.fromkeys(("connect", "read", "write", "pool"), seconds)},
        )
        try:
            response = await self._pool(instance).handle_async_request(request)
            content = await response.aread()
            await response.aclose()
        except httpcore.TimeoutException:
            return edge.error(504, "FUNCTION_INVOCATION_TIMEOUT")
        except (httpcore.NetworkError, httpcore.ProtocolError):
            return edge.error(502, "FUNCTION_INVOCATION_FAILED")
        return Answer(response.status, _end_to_end(response.headers, {b"transfer-encoding"}), content)

    async def _instance(self, name: str) -> Instance:
        """The process that takes the next request, a new one where fewer run than may. Raises StartError."""
        async with self._starting[name]:
            running = self.instances(name)
            if len(running) >= self._most:
                return running[next(self._turn) % len(running)]
            for ended in [instance for instance in self._pools if instance.process.poll() is not None]:
                if pool := self._pools.pop(ended, None):
                    await pool.aclose()
            return await asyncio.to_thread(self.start, name)

    def _pool(self, instance: Instance) -> httpcore.AsyncConnectionPool:
        if instance not in self._pools:
            self._pools[instance] = httpcore.AsyncConnectionPool(max_connections=None, keepalive_expiry=KEEP_ALIVE)
        return self._pools[instance]

    def _headers(self, scope: Scope) -> Headers:
        headers: Headers = _end_to_end(scope["headers"], set())
        if any(name == b"transfer-encoding" for name, _ in headers):
            headers = [(name, value) for name, value in headers if name != b"content-length"]
        host = next((value for name, value in headers if name == b"host"), b"")
        return [
            *headers,
            (b"x-forwarded-host", host),
            (b"x-forwarded-proto", b"https"),
            (b"x-forwarded-for", scope["client"][0].encode()),
            (INTERNAL + b"invocation-id", b"local"),
            (INTERNAL + b"request-id", str(next(self._request_ids)).encode()),
        ]


def _end_to_end(headers: Headers, dropped: set[bytes]) -> Headers:
    """The headers that are passed on."""
    return [
        (name, value)
        for name, value in headers
        if name.lower() not in HOP_BY_HOP | dropped and not name.lower().startswith(INTERNAL)
    ]

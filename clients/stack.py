"""What the clients are tested against: `python -m clients.stack` from the root, with the root's environment.

Starts a PostgreSQL and the service on it, and before them a proxy that does what networks and platforms do. Prints one
line, {"url": the service's, "proxy": the proxy's}, and stops when its standard input is closed.

The proxy takes, besides what it passes on:

    POST /_stack/faults  a list: what befalls the next requests, one each; empties what was seen
    GET  /_stack/seen    the requests since then: method, path, key, bytes, and the service's status, null for none
    POST /_stack/kill    {"seconds": …}: SIGKILL for the service, which starts again after so long

A fault is null (none), "cut-before" (closed before the service has it), "cut-after" (closed when the service has
answered), "cut-within" (closed in the middle of the answer), "stall" (never answered), or an answer that the service
never gave: {"status", "headers"?, "body"?}. With "after": true the service has the request nevertheless.
"""

import asyncio
import contextlib
import json
import os
import sys
from asyncio import StreamReader, StreamWriter
from typing import Any

from scripts import migrate
from scripts.dev import listening_socket
from scripts.stack import postgres
from scripts.stack.router import ROOT

HOST = "127.0.0.1"


def free_port() -> int:
    """A port that was free a moment ago."""
    with listening_socket(0) as sock:
        port: int = sock.getsockname()[1]
        return port


class Service:
    """The service, in a process that can be killed."""

    def __init__(self, database_url: str) -> None:
        self.port = free_port()
        self._environment = {**os.environ, "PORT": str(self.port), "DATABASE_URL": database_url}
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Starts it, and waits until it answers."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "scripts.dev", cwd=ROOT, env=self._environment, stdout=asyncio.subprocess.DEVNULL
        )
        while self._process.returncode is None:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(HOST, self.port)
                writer.close()
                return
            await asyncio.sleep(0.05)
        raise SystemExit("the service could not start")

    async def kill(self, *, gently: bool = False) -> None:
        """Ends it, with SIGKILL unless gently."""
        if self._process and self._process.returncode is None:
            (self._process.terminate if gently else self._process.kill)()
            await self._process.wait()


class Proxy:
    """Passes requests on, each over a connection of its own, but for what befalls them."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._faults: list[Any] = []
        self._seen: list[dict[str, Any]] = []
        self._starting: asyncio.Task[None] | None = None

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """One request; the connection ends with its answer."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            method, path, _ = lines[0].split(" ")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            if path.startswith("/_stack/"):
                writer.write(answer(200, await self._control(path, body)))
            elif await self._pass(writer, head, body, {"method": method, "path": path, "headers": headers}):
                await reader.read()  # until the client has had enough of waiting
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has gone, or the service is down: no answer
        finally:
            writer.close()

    async def _control(self, path: str, body: bytes) -> str:
        content: Any = json.loads(body) if body else None
        if path.endswith("/seen"):
            return json.dumps(self._seen)
        if path.endswith("/faults"):
            self._faults, self._seen = content, []
        else:
            if self._starting:
                self._starting.cancel()  # killed before it was back
            await self._service.kill()
            self._starting = asyncio.create_task(self._start_again(content["seconds"]))
        return "{}"

    async def _start_again(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._service.start()

    async def _pass(self, writer: StreamWriter, head: bytes, body: bytes, request: dict[str, Any]) -> bool:
        """Whether the client is to wait for ever."""
        fault = self._faults.pop(0) if self._faults else None
        key = request["headers"].get("idempotency-key")
        seen = {"method": request["method"], "path": request["path"], "key": key, "bytes": len(body), "status": None}
        self._seen.append(seen)
        after = fault in (None, "cut-after", "cut-within") or (isinstance(fault, dict) and fault.get("after"))
        answered = await self._ask(head, body, seen) if after else b""
        if isinstance(fault, dict):
            writer.write(answer(fault["status"], fault.get("body", ""), fault.get("headers", {})))
        elif fault == "cut-within":
            writer.write(answered[: len(answered) - 20])
        elif fault is None:
            writer.write(answered)
        await writer.drain()
        return bool(fault == "stall")

    async def _ask(self, head: bytes, body: bytes, seen: dict[str, Any]) -> bytes:
        reader, writer = await asyncio.open_connection(HOST, self._service.port)
        first, _, rest = head.partition(b"\r\n")
        kept = [line for line in rest.split(b"\r\n") if not line.lower().startswith(b"connection:")]
        writer.write(b"\r\n".join([first, b"Connection: close", *kept]) + body)
        answered = await reader.read()
        writer.close()
        if not answered:
            raise ConnectionResetError
        seen["status"] = int(answered.split(b" ", 2)[1])
        return answered


def answer(status: int, body: str, headers: dict[str, str] | None = None) -> bytes:
    """An HTTP answer that ends its connection."""
    content = body.encode()
    fields = {"Content-Type": "application/json", **(headers or {}), "Connection": "close"}
    lines = [f"HTTP/1.1 {status} x", *(f"{name}: {value}" for name, value in fields.items())]
    return ("\r\n".join(lines) + f"\r\nContent-Length: {len(content)}\r\n\r\n").encode() + content


async def until_closed() -> None:
    """Waits for the end of standard input."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.read(1024):
        pass


async def main(database_url: str) -> None:
    """Serves until standard input is closed."""
    service = Service(database_url)
    await service.start()
    proxy = Proxy(service)
    try:
        server = await asyncio.start_server(proxy.serve, HOST, 0, limit=1 << 16)
        port = server.sockets[0].getsockname()[1]
        print(json.dumps({"url": f"http://{HOST}:{service.port}", "proxy": f"http://{HOST}:{port}"}), flush=True)
        await until_closed()
    finally:
        await service.kill(gently=True)


if __name__ == "__main__":
    with postgres.temporary() as url:
        list(migrate.up(url))
        asyncio.run(main(url))

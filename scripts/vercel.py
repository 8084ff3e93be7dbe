"""Runs what `vercel build` wrote as the platform does: on Vercel's own Python runtime, behind its generated routes.

    with Deployment(Bundle(folder), {"DATABASE_URL": url}) as deployment:
        httpx.get(deployment.url + "/api/health")

A function's process is started by the first request that needs it, and after its end by the next one. Must never end a
process that it did not start, nor leave a process or a folder behind.
"""

import asyncio
import base64
import contextlib
import itertools
import json
import mimetypes
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

import httpcore
import uvicorn

from lib.web import Receive, Scope, Send

# Seconds until a function must have said where it listens.
START_TIMEOUT = 30.0

# Seconds that a function gets between SIGTERM and SIGKILL.
STOP_TIMEOUT = 5.0

# Seconds, where a function names no maxDuration.
MAX_DURATION = 300

# Seconds after which the router no longer reuses a connection: less than the 5 s after which the runtime closes it.
KEEP_ALIVE = 2.0

# What belongs to one connection and is not passed on (RFC 9110, 7.6.1).
HOP_BY_HOP = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade"})

# What the platform and its runtime tell each other.
INTERNAL = b"x-vercel-internal-"

# What a route of config.json may have; one that has more would be applied wrongly.
ROUTE_KEYS = frozenset({"src", "dest", "check", "continue", "headers", "methods", "status", "caseSensitive", "handle"})

type Headers = list[tuple[bytes, bytes]]


class StartError(Exception):
    """A function could not be started; the text says why."""


# --- What was built


@dataclass(frozen=True, slots=True)
class Built:
    """A function as it was built: its files by their path in the task folder, and its settings."""

    name: str
    files: dict[str, Path]
    environment: dict[str, str]
    max_duration: int

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in self.files.values())


class Bundle:
    """The output of `vercel build` in folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = folder / ".vercel" / "output"

    @cached_property
    def functions(self) -> dict[str, Built]:
        """Each function by its path without the leading slash."""
        root = self.output / "functions"
        found = sorted(path.parent for path in root.rglob("*.func/.vc-config.json"))
        return {function.name: function for function in (self._function(root, path) for path in found)}

    def _function(self, root: Path, path: Path) -> Built:
        config = json.loads((path / ".vc-config.json").read_text())
        files = {name: self.folder / source for name, source in config.get("filePathMap", {}).items()}
        own = (file for file in path.rglob("*") if file.is_file() and file.name != ".vc-config.json")
        files |= {str(file.relative_to(path)): file for file in own}
        return Built(
            name=str(path.relative_to(root)).removesuffix(".func"),
            files=files,
            environment=config.get("environment", {}),
            max_duration=config.get("maxDuration", MAX_DURATION),
        )

    @cached_property
    def static(self) -> dict[str, Path]:
        """Each static file by its path without the leading slash."""
        root = self.output / "static"
        return {str(path.relative_to(root)): path for path in sorted(root.rglob("*")) if path.is_file()}

    @cached_property
    def routes(self) -> "Routes":
        """What config.json makes of a path."""
        return Routes(json.loads((self.output / "config.json").read_text())["routes"], {*self.functions, *self.static})


@dataclass(frozen=True, slots=True)
class Match:
    """What serves a request: a function's or a static file's path, or nothing but a status; and headers to add."""

    target: str | None
    status: int
    query: str
    headers: dict[str, str]


class Routes:
    """The routes of config.json, applied phase by phase as the platform does."""

    def __init__(self, routes: list[dict[str, Any]], targets: set[str]) -> None:
        self._targets = targets
        self._phases: dict[str, list[dict[str, Any]]] = {}
        phase = ""
        for route in routes:
            if unknown := set(route) - ROUTE_KEYS:
                raise ValueError(f"cannot apply a route with {', '.join(sorted(unknown))}: {route}")
            if "handle" in route:
                phase = route["handle"]
            else:
                self._phases.setdefault(phase, []).append(route)

    def find(self, method: str, path: str, query: str = "") -> Match:
        """What serves path, which is percent-encoded as it came."""
        headers: dict[str, str] = {}
        found = self._apply("", method, path, headers)
        if not found and (target := self._file(path)):
            found = target, 200, ""
        found = found or self._apply("filesystem", method, path, headers)
        found = found or self._apply("miss", method, path, headers)
        found = found or (None, 404, "")
        if found[0] is None and found[1] >= 400:
            found = self._apply("error", method, path, headers, status=found[1]) or found
        target, status, added = found
        return Match(target, status, _merged(query, added), headers)

    def _apply(
        self, phase: str, method: str, path: str, headers: dict[str, str], status: int | None = None
    ) -> tuple[str | None, int, str] | None:
        """The target, the status and the query of the first route of phase that leads somewhere."""
        for route in self._phases.get(phase, []):
            source = route.get("src", "")
            found = re.search(source, path, 0 if route.get("caseSensitive") else re.IGNORECASE)
            if not found or method not in route.get("methods", [method]):
                continue
            if status is not None and route.get("status", status) != status:
                continue
            headers |= {name: _filled(value, found) for name, value in route.get("headers", {}).items()}
            if "dest" in route:
                to, _, query = _filled(route["dest"], found).partition("?")
                target = self._file(to)
                if target is None and phase != "miss" and (missed := self._apply("miss", method, to, headers)):
                    return missed[0], missed[1], _merged(query, missed[2])
                if target is not None:
                    return target, route.get("status", 200), query
                if route.get("continue"):
                    path = to
                elif not route.get("check") and status is None:
                    return None, 404, ""
            elif "status" in route and not route.get("continue"):
                return None, route["status"], ""
        return None

    def _file(self, path: str) -> str | None:
        for name in dict.fromkeys((path.strip("/"), unquote(path).strip("/"))):
            for candidate in (name, f"{name}/index".lstrip("/"), f"{name}/index.html".lstrip("/")):
                if candidate in self._targets:
                    return candidate
        return None


def _filled(text: str, found: re.Match[str]) -> str:
    return re.sub(r"\$(\d)", lambda number: found[int(number[1])] or "", text)


def _merged(query: str, added: str) -> str:
    """The client's query, its encoding kept, and what the route adds, unless the client has one of that name."""
    names = {pair.partition("=")[0] for pair in query.split("&")}
    return "&".join([*filter(None, [query]), *(p for p in added.split("&") if p and p.partition("=")[0] not in names)])


# --- What runs


@cache
def interpreter() -> Path:
    """A real Python 3.12, outside of any virtual environment and not a launcher. Raises StartError."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates = [sys.executable, shutil.which("python3.12"), *map(str, pyenv.glob("versions/3.12.*/bin/python3.12"))]
    for candidate in filter(None, candidates):
        run = subprocess.run(
            [candidate, "-c", "import sys; print(sys.base_prefix)"], capture_output=True, text=True, check=False
        )
        real = Path(run.stdout.strip(), "bin", "python3.12")
        if run.returncode == 0 and real.is_file():
            return real
    raise StartError("Python 3.12 is needed, the version that Vercel runs, and none was found")


class Function:
    """A function laid out in its task folder, from which any number of processes can be started."""

    def __init__(self, built: Built, folder: Path, environment: Mapping[str, str]) -> None:
        """environment is added to what the platform sets; folder is made, and its path kept under 80 characters."""
        self.built = built
        self.name = built.name
        self.folder = folder
        self.task = folder / "task"
        self._numbers = itertools.count(1)
        self._python = interpreter()
        self._environment = {
            "PATH": os.defpath,
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "VERCEL": "1",
            "VERCEL_ENV": "production",
            **built.environment,
            **environment,
        }
        made: set[Path] = set()
        for name, source in built.files.items():
            path = self.task / name
            if path.parent not in made:
                path.parent.mkdir(parents=True, exist_ok=True)
                made.add(path.parent)
            try:
                path.hardlink_to(source)
            except OSError:  # another file system
                shutil.copy2(source, path)

    def start(self) -> "Instance":
        """A new process that listens. Raises StartError."""
        path = self.folder / f"{next(self._numbers)}.sock"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(path))
            listener.listen(1)
            started = time.perf_counter()
            # -S leaves this machine's site-packages out, which the platform does not have.
            process = subprocess.Popen(
                [self._python, "-S", "-c", "import vc__handler__python"],
                cwd=self.task,
                env={**self._environment, "VERCEL_IPC_PATH": str(path)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
            try:
                return Instance(process, listener, started)
            except BaseException:
                process.kill()
                process.wait()
                raise
            finally:
                path.unlink()


class Instance:
    """One process of a function."""

    def __init__(self, process: "subprocess.Popen[bytes]", listener: socket.socket, started: float) -> None:
        """Waits until process, started at perf_counter's started, says where it listens. Raises StartError."""
        self.process = process
        self.pid = process.pid
        self.started = started
        self.frozen = False
        self._stopping = False
        self._log: deque[bytes] = deque(maxlen=1000)
        self._channel = self._accept(listener)
        messages = self._messages()
        try:
            self.port = self._port(messages)
        except BaseException:
            self._channel.close()
            raise
        self._channel.settimeout(None)
        # The runtime writes without a limit and blocks when nobody reads.
        self._reader = threading.Thread(target=self._read, args=[messages], daemon=True)
        self._reader.start()

    def _accept(self, listener: socket.socket) -> socket.socket:
        listener.settimeout(0.1)
        while time.perf_counter() - self.started < START_TIMEOUT:
            with contextlib.suppress(TimeoutError):
                return listener.accept()[0]
            if self.process.poll() is not None:
                raise StartError(f"the function ended with exit status {self.process.returncode}")
        raise StartError(f"the function was silent for {START_TIMEOUT:.0f} s")

    def _messages(self) -> Iterator[bytes]:
        """Each message of the runtime, until it closes the channel."""
        rest = b""
        with contextlib.suppress(ConnectionResetError):
            while data := self._channel.recv(1 << 16):
                *complete, rest = (rest + data).split(b"\0")
                yield from complete

    def _port(self, messages: Iterator[bytes]) -> int:
        self._channel.settimeout(START_TIMEOUT)
        try:
            for text in messages:
                message = json.loads(text)
                if message["type"] == "server-started":
                    return int(message["payload"]["httpPort"])
                if message["type"] == "unrecoverable-error":
                    raise StartError(message["payload"]["message"])
        except TimeoutError:
            raise StartError(f"the function was silent for {START_TIMEOUT:.0f} s") from None
        raise StartError("the function ended without saying why")

    def _read(self, messages: Iterator[bytes]) -> None:
        with self._channel:
            for text in messages:
                if b'"type": "log"' in text:
                    self._log.append(text)

    def log(self) -> list[str]:
        """The last lines that the function has logged."""
        payloads = [json.loads(text)["payload"] for text in list(self._log)]
        return "".join(base64.b64decode(payload["message"]).decode() for payload in payloads).splitlines()

    @property
    def running(self) -> bool:
        """Whether the process runs and takes requests."""
        return not self._stopping and self.process.poll() is None

    def freeze(self) -> None:
        """Stops the process between two requests, as the platform does; the next request thaws it."""
        self.frozen = True
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets the process go on."""
        self.frozen = False
        self.process.send_signal(signal.SIGCONT)

    def terminate(self) -> None:
        """Tells the process to end; it answers what it has begun and gets no more requests."""
        self._stopping = True
        self.thaw()
        self.process.terminate()

    def stop(self) -> int:
        """Ends the process with SIGTERM, or else with SIGKILL. Returns its exit status."""
        self.terminate()
        try:
            self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
        return self._end()

    def kill(self) -> int:
        """Ends the process with SIGKILL. Returns its exit status."""
        self._stopping = True
        self.process.kill()
        return self._end()

    def _end(self) -> int:
        self.process.wait()
        self._reader.join()
        return self.process.returncode


# --- What answers


@dataclass(frozen=True, slots=True)
class Answer:
    """What the router sends."""

    status: int
    headers: Headers
    body: bytes


def _text(status: int, text: str) -> Answer:
    """An answer of the platform's own, told from a function's by its header, as on the platform."""
    return Answer(status, [(b"content-type", b"text/plain"), (b"x-vercel-error", text.encode())], text.encode())


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
        elif match.target:
            answer = self._static(match.target, method)
        else:
            answer = _text(match.status, "NOT_FOUND")
        headers = _with_defaults(answer, match.headers, has_length=method != "HEAD" and answer.status not in {204, 304})
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else answer.body})

    def _static(self, name: str, method: str) -> Answer:
        if method not in {"GET", "HEAD"}:
            return _text(405, "METHOD_NOT_ALLOWED")
        path = self.bundle.static[name]
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return Answer(200, [(b"content-type", kind.encode())], path.read_bytes())

    async def _invoke(self, match: Match, scope: Scope, path: str, body: bytes) -> Answer:
        """The function's answer; 502 and 504 where it has none.

        A request is never sent twice, as whether the function has carried it out is not known.
        """
        name = match.target or ""
        try:
            instance = await self._instance(name)
        except StartError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return _text(502, "FUNCTION_INVOCATION_FAILED")
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
            return _text(504, "FUNCTION_INVOCATION_TIMEOUT")
        except (httpcore.NetworkError, httpcore.ProtocolError):
            return _text(502, "FUNCTION_INVOCATION_FAILED")
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


def _with_defaults(answer: Answer, added: Mapping[str, str], *, has_length: bool) -> Headers:
    """The answer's headers, and those of added that it does not have."""
    names = {name.lower() for name, _ in answer.headers}
    defaults = [(name.lower().encode(), value.encode("latin-1")) for name, value in added.items()]
    if has_length:
        defaults.append((b"content-length", str(len(answer.body)).encode()))
    return [*answer.headers, *(pair for pair in defaults if pair[0] not in names)]

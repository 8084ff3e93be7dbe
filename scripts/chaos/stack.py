"""What `make chaos` runs: functions → a TCP proxy → PgBouncer → an embedded PostgreSQL, each of which can be broken.

Must never leave a process or a folder behind, nor signal a process that it did not start.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import httpx
import psutil

from scripts import migrate
from scripts.dev import listening_socket
from scripts.stack import postgres
from scripts.stack.router import ROOT
from scripts.stack.vercel.built import Bundle
from scripts.stack.vercel.deployment import Deployment

API_KEY = uuid4().hex

# Seconds that a process gets between SIGTERM and SIGKILL.
STOP_TIMEOUT = 5.0

# Seconds until a dev server must answer.
START_TIMEOUT = 20.0

# What each call needs; on Vercel each is a function, and so a process, of its own.
CONTEXTS = "api/v1/contexts/index"
CONTEXT = "api/v1/contexts/[id]/index"
MESSAGES = "api/v1/contexts/[id]/messages"
WINDOW = "api/v1/contexts/[id]/window"
COMPACTIONS = "api/v1/contexts/[id]/compactions"
FORKS = "api/v1/contexts/[id]/forks"

# Those that make something, by the last part of their paths.
POSTED = {"contexts": CONTEXTS, "messages": MESSAGES, "compactions": COMPACTIONS, "forks": FORKS}


class Process(Protocol):
    """A process that serves requests."""

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """What it was started as."""

    @property
    def port(self) -> int:
        """Where it listens."""

    def kill(self) -> object:
        """Ends it with SIGKILL; another one serves after it."""

    def stop(self) -> object:
        """Ends it with SIGTERM; another one serves after it."""


class Functions(Protocol):
    """The processes that serve the API."""

    def url(self, turn: int) -> str:
        """Where the turn-th client calls."""

    def processes(self) -> Sequence[Process]:
        """All that run."""

    def serving(self, function: str) -> Sequence[Process]:
        """Those that serve function."""

    def log(self) -> list[str]:
        """The last lines that the running processes have logged."""


# --- On Vercel's runtime


class Deployed:
    """The bundle's functions behind the front router."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    def url(self, turn: int) -> str:  # noqa: ARG002 - there is one router
        return self._deployment.url

    def processes(self) -> Sequence[Process]:
        return [process for name in self._deployment.functions for process in self._deployment.instances(name)]

    def serving(self, function: str) -> Sequence[Process]:
        return self._deployment.instances(function)

    def log(self) -> list[str]:
        names = self._deployment.functions
        return [line for name in names for instance in self._deployment.instances(name) for line in instance.log()]


@contextmanager
def deployed(bundle: Bundle, environment: Mapping[str, str], instances: int) -> Iterator[Functions]:
    """The bundle on Vercel's runtime, with up to instances processes for each function."""
    with Deployment(bundle, environment, instances=instances) as deployment:
        yield Deployed(deployment)


# --- As dev servers


class DevServer:
    """A dev server whose port outlives its process: what was not accepted yet waits for the next one."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        """Starts it; folder takes its log."""
        self._environment = environment
        self._socket = listening_socket(0)
        self.port: int = self._socket.getsockname()[1]
        self.log = folder / f"{self.port}.log"
        self.process = self._started()

    def _started(self) -> "subprocess.Popen[bytes]":
        descriptor = self._socket.fileno()
        options = ["--fd", str(descriptor), "--lifespan", "on", "--log-level", "warning", "--no-access-log"]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "uvicorn", "--factory", "scripts.stack.router:Router", *options],
                cwd=ROOT,
                env={**os.environ, **self._environment},
                pass_fds=[descriptor],
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """Ends it with SIGKILL and starts it again."""
        self.process.kill()
        self.process.wait()
        self.process = self._started()

    def stop(self) -> None:
        """Ends it with SIGTERM and starts it again."""
        self._end()
        self.process = self._started()

    def close(self) -> None:
        """Ends it for good."""
        self._end()
        self._socket.close()

    def _end(self) -> None:
        self.process.terminate()
        self.process.send_signal(signal.SIGCONT)
        try:
            self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class DevServers:
    """Dev servers, each of which serves everything; clients take turns among them."""

    def __init__(self, servers: Sequence[DevServer]) -> None:
        self._servers = servers

    def url(self, turn: int) -> str:
        return f"http://127.0.0.1:{self._servers[turn % len(self._servers)].port}"

    def processes(self) -> Sequence[Process]:
        return self._servers

    def serving(self, function: str) -> Sequence[Process]:  # noqa: ARG002 - each serves everything
        return self._servers

    def log(self) -> list[str]:
        return [line for server in self._servers for line in server.log.read_text(errors="replace").splitlines()]


@contextmanager
def dev_servers(environment: Mapping[str, str], instances: int) -> Iterator[Functions]:
    """So many dev servers, in processes of their own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kata-")))
        servers: list[DevServer] = []
        for _ in range(instances):
            servers.append(DevServer(environment, folder))
            stack.callback(servers[-1].close)
        for server in servers:
            url = f"http://127.0.0.1:{server.port}/api/health?probe=liveness"
            httpx.get(url, timeout=START_TIMEOUT).raise_for_status()
        yield DevServers(servers)


# --- The database


class Postgres:
    """An embedded PostgreSQL that can crash and keeps its data."""

    def __init__(self, stack: ExitStack) -> None:
        """Starts it, migrated; the stack ends it."""
        self._stack = stack
        self._data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kata-"))) / "data"
        self.url = ""
        self.start()
        list(migrate.up(self.url))

    def start(self) -> None:
        """Starts it; after a crash it recovers first."""
        self.url = self._stack.enter_context(postgres.embedded(self._data))

    def crash(self) -> None:
        """Ends the postmaster with SIGKILL, and with it every backend."""
        postmaster = psutil.Process(int((self._data / "postmaster.pid").read_text().split()[0]))
        backends = postmaster.children()
        postmaster.kill()
        # Backends end by themselves when they notice. One that did not would write beside those of the next start.
        for process in psutil.wait_procs([postmaster, *backends], timeout=1)[1]:
            process.kill()
        _, alive = psutil.wait_procs([postmaster, *backends], timeout=10)
        if any(process.status() != psutil.STATUS_ZOMBIE for process in alive if process.is_running()):
            raise postgres.PostgresError("a PostgreSQL backend outlived SIGKILL")

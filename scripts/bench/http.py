"""The bench's second section: each endpoint through HTTP on the dev server, beside a no-op endpoint on the same one.

The no-op runs directly before each endpoint, round by round, so that both see the same machine. Server and load
generator are processes of their own.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from statistics import median, quantiles
from typing import Any
from uuid import UUID

import httpx

from scripts.bench.client import Round
from scripts.bench.report import Report
from scripts.bench.sql import BUDGET, LARGE, TEXT, TOKENS, WINDOW
from scripts.dev import listening_socket
from scripts.stack.router import ROOT

CONNECTIONS = (1, 8, 32)
ROUNDS = 7
ROUND_SECONDS = 0.15

MEMORY_AFTER_REQUESTS = 10_000
MEMORY_LIMIT_MB = 150

# Lowest rates beside the no-op's.
GOALS = {"read": 0.6, "window": 0.4}


@contextmanager
def server(database_url: str) -> Iterator[int]:
    """The port of a server in a process of its own."""
    environment = {**os.environ, "DATABASE_URL": database_url, "API_KEYS": ""}
    # Its log goes where a shell would send it: written for every request, read by nobody.
    with listening_socket(0) as sock, tempfile.TemporaryFile() as log:
        descriptor = sock.fileno()
        command = [sys.executable, "-m", "scripts.bench.server", str(descriptor)]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, pass_fds=[descriptor], stdout=log)
        try:
            yield sock.getsockname()[1]
        finally:
            process.terminate()
            process.wait()


class Client:
    """The load generator."""

    def __init__(self, port: int, process: "subprocess.Popen[str]") -> None:
        self.port = port
        self.answered = 0
        self._process = process

    def run(self, requests: list[str], connections: int, seconds: float = ROUND_SECONDS) -> tuple[float, list[int]]:
        """The rate of a round per second and its latencies in microseconds."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(asdict(Round(self.port, requests, connections, seconds))) + "\n")
        self._process.stdin.flush()
        elapsed, latencies = json.loads(self._process.stdout.readline())
        self.answered += len(latencies)
        return len(latencies) / elapsed, latencies


@contextmanager
def client(port: int) -> Iterator[Client]:
    """A load generator in a process of its own."""
    command = [sys.executable, "-m", "scripts.bench.client"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Client(port, process)
        finally:
            process.terminate()


def request(method: str, path: str, body: str = "") -> str:
    """The text of a request."""
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1", "accept: */*"]
    if body:
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
    return "\r\n".join([*lines, "", body])


@dataclass(slots=True)
class Measured:
    """An endpoint's rounds: rates per second, the same beside the no-op's, latencies in microseconds."""

    rates: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    latencies: list[int] = field(default_factory=list)


def measure(report: Report, database_url: str, context_id: UUID) -> None:
    """Prints the section, for a context of 100,000 messages."""
    with server(database_url) as port:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
            turns = _tiktoken_only_to_count(report, http, context_id)
            process = http.get("/process").json()
            before = process["residentBytes"]
        with client(port) as load:
            _rates(report, load, _requests(context_id, turns), process["runsOn"])
            while load.answered < MEMORY_AFTER_REQUESTS:
                load.run([request("GET", "/noop")], 8)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
            after = http.get("/process").json()
        assert after["tiktoken"]
        report.section("Resident memory of the server, tokenizer loaded", "MB", "goal", "")
        report.row("after the first requests", f"{before / 1e6:.0f}")
        megabytes = after["residentBytes"] / 1e6
        report.goal(
            f"after {load.answered:,} requests",
            f"{megabytes:.0f}",
            goal=f"<= {MEMORY_LIMIT_MB}",
            ok=megabytes <= MEMORY_LIMIT_MB,
        )


def _turn(**members: object) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": TEXT, **members} for role in ("user", "assistant")]}


def _tiktoken_only_to_count(report: Report, http: httpx.Client, context_id: UUID) -> list[str]:
    """Calls every endpoint in the fresh process. Returns new contexts, one for each connection to append to."""

    def call(method: str, path: str, body: object = None) -> Any:
        answer = http.request(method, path, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    def loaded() -> str:
        return "loaded" if call("GET", "/process")["tiktoken"] else "not loaded"

    path = f"/api/v1/contexts/{context_id}"
    created = [call("POST", "/api/v1/contexts", {"name": "bench"})["data"]["id"] for _ in range(max(CONNECTIONS) + 1)]
    scratch = f"/api/v1/contexts/{created.pop()}"
    report.section("tiktoken in a fresh server process, after", "", "goal", "")
    calls: list[tuple[str, str, object]] = [
        ("GET", "/api/health", None),
        ("GET", "/api/v1/contexts", None),
        ("GET", path, None),
        ("GET", f"{path}/messages", None),
        ("GET", f"{path}/window?budget={BUDGET}", None),
        ("PATCH", scratch, {"name": "renamed"}),
        ("POST", f"{scratch}/messages", _turn(tokenCount=TOKENS)),
    ]
    for method, url, body in calls:
        call(method, url, body)
    call("DELETE", scratch)
    state = loaded()
    name = "every call there is, appends with their own tokenCount"
    report.goal(name, state, goal="not loaded", ok=state == "not loaded")
    call("POST", f"/api/v1/contexts/{created[0]}/messages", _turn())
    state = loaded()
    report.goal("an append without tokenCount", state, goal="loaded", ok=state == "loaded")
    return created


def _requests(context_id: UUID, turns: list[str]) -> dict[str, list[str]]:
    """What each row of the table sends; several requests are spread over the connections."""
    path = f"/api/v1/contexts/{context_id}"
    turn = json.dumps(_turn())
    return {
        "raw": [request("GET", "/raw")],
        "select": [request("GET", "/select")],
        "health": [request("GET", "/api/health")],
        "create": [request("POST", "/api/v1/contexts", '{"name": "bench", "metadata": {"task": 1}}')],
        "list": [request("GET", "/api/v1/contexts?limit=50")],
        "read": [request("GET", path)],
        "append": [request("POST", f"/api/v1/contexts/{turn_id}/messages", turn) for turn_id in turns],
        "page": [request("GET", f"{path}/messages?limit=50&cursor={LARGE // 2}")],
        "window": [request("GET", f"{path}/window?budget={BUDGET}")],
    }


NAMES = {
    "noop": "no-op endpoint: lib.web, no database",
    "raw": "bare ASGI application: no lib.web either",
    "select": "floor: SELECT 1 through the pool, nothing else",
    "health": "GET /api/health",
    "create": "POST /api/v1/contexts",
    "list": "GET /api/v1/contexts, 50 of them",
    "read": "GET /api/v1/contexts/{id}",
    "append": "POST …/messages, a turn of two, tokens counted",
    "page": f"GET …/messages, 50 in the middle of {LARGE:,}",
    "window": f"GET …/window, {BUDGET:,} tokens = {WINDOW} messages",
}


def _rates(report: Report, load: Client, requests: dict[str, list[str]], runs_on: str) -> None:
    noop = [request("GET", "/noop")]
    for lines in (noop, *requests.values()):
        load.run(lines, max(CONNECTIONS))
    for connections in CONNECTIONS:
        rows = {name: Measured() for name in ("noop", *requests)}
        for _ in range(ROUNDS):
            for name, lines in requests.items():
                noop_rate = _record(rows["noop"], load.run(noop, connections))
                rows[name].ratios.append(_record(rows[name], load.run(lines, connections)) / noop_rate)
        plural = "connection" if connections == 1 else "connections"
        title = f"Dev server ({runs_on}), {connections} {plural}"
        report.section(title, "req/s", "p50 ms", "p99 ms", "x no-op", "goal", "")
        for name, row in rows.items():
            percentiles = quantiles(row.latencies, n=100)
            cells = (f"{median(row.rates):,.0f}", f"{percentiles[49] / 1000:.2f}", f"{percentiles[98] / 1000:.2f}")
            ratio = median(row.ratios) if row.ratios else 1.0
            if name in GOALS:
                report.at_least(NAMES[name], *cells, measured=ratio, limit=GOALS[name])
            else:
                report.row(NAMES[name], *cells, f"{ratio:.2f}")


def _record(row: Measured, measured: tuple[float, list[int]]) -> float:
    rate, latencies = measured
    row.rates.append(rate)
    row.latencies += latencies
    return rate

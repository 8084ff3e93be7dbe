"""The bench's section on the bundle as Vercel's own runtime runs it; `python -m scripts.bench.bundle` runs it alone.

Cold starts, rates beside a no-op function, and memory; each also with uvloop and httptools ("fast"). The no-op and
these two packages are in the copies that are measured and nowhere else. What is compared alternates.
"""

import json
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

import httpx

from scripts import migrate
from scripts.bench.http import Client, client
from scripts.bench.report import Report
from scripts.bundle import API_KEY, CONTEXTS, BundleError, build, environment
from scripts.stack import postgres
from scripts.stack.vercel.built import Bundle
from scripts.stack.vercel.deployment import Deployment
from scripts.stack.vercel.functions import Instance

STARTS = 9
# Milliseconds from spawn to the first answer, median, without and with tokens to count.
START_GOAL = 250
COUNTING_GOAL = 500

CONNECTIONS = 8
ROUNDS = 7
ROUND_SECONDS = 0.3

MESSAGES = 400
BUDGET = 8000
TOKENS = 60
TEXT = "The quick brown fox jumps over the lazy dog. " * 6

FAST = ("uvloop==0.23.0", "httptools==0.9.0")
# What keeping them must bring, beside +18 MB in every function: this many times the requests of a window.
FAST_PAYS = 1.15

# The runtime leaves Nagle's algorithm on, which would hold every answer up.
NOOP = """
import os
import socket
from contextlib import suppress

HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"2")]


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        for descriptor in os.listdir("/proc/self/fd"):
            with suppress(OSError):
                sock = socket.socket(fileno=int(descriptor))
                with suppress(OSError):
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.detach()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    else:
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.body", "body": b"{}"})
"""


@dataclass(frozen=True, slots=True)
class Call:
    """A request of one function."""

    name: str
    function: str
    request: str


@dataclass(frozen=True, slots=True)
class Start:
    """A cold start: how long it took, and how long of that it computed."""

    milliseconds: float
    cpu_milliseconds: float


@dataclass(slots=True)
class Rates:
    """A call's rounds: requests per second, the same beside the no-op's, latencies in microseconds."""

    rates: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    latencies: list[int] = field(default_factory=list)


def measure(report: Report, url: str) -> None:
    """Prints the section; url is a migrated database. Says so where the bundle cannot be built here."""
    try:
        plain, fast = build("bench", _add_noop), build("bench-fast", _add_fast)
    except BundleError as error:
        report.section("The bundle on Vercel's runtime")
        report.row(f"left out: {error}")
        return
    with ExitStack() as stack:
        deployments = [stack.enter_context(Deployment(b, environment(url))) for b in (plain, fast)]
        calls = _calls(deployments[0])
        _cold_starts(report, deployments, calls)
        _load(report, deployments, calls)
    _conclude(report, plain, fast)


def _add_noop(folder: Path) -> None:
    (folder / "api" / "noop.py").write_text(NOOP)


def _add_fast(folder: Path) -> None:
    _add_noop(folder)
    for name, line in (("pyproject.toml", "    {!r},\n"), ("requirements.txt", "{}\n")):
        path = folder / name
        added = "".join(line.format(package) for package in FAST)
        anchor = "dependencies = [\n" if name == "pyproject.toml" else ""
        path.write_text(path.read_text().replace(anchor, anchor + added, 1))


def _calls(deployment: Deployment) -> list[Call]:
    """What is measured, on a context of MESSAGES messages."""
    with httpx.Client(base_url=deployment.url, headers={"authorization": f"Bearer {API_KEY}"}, timeout=60) as http:
        path = http.post(CONTEXTS, json={"name": "bench"}).headers["location"]
        scratch = http.post(CONTEXTS, json={"name": "bench"}).headers["location"]
        message = {"role": "user", "content": TEXT, "tokenCount": TOKENS}
        http.post(f"{path}/messages", json={"messages": [message] * MESSAGES}).raise_for_status()
    one = "api/v1/contexts/[id]"
    given = json.dumps({"messages": [message]})
    counted = json.dumps({"messages": [{"role": "user", "content": TEXT}]})
    return [
        Call("no-op, the runtime alone", "api/noop", _request("GET", "/api/noop")),
        Call("a path that does not exist", "api/not_found", _request("GET", "/nothing")),
        Call("GET /api/health", "api/health", _request("GET", "/api/health")),
        Call("GET /api/v1/contexts", "api/v1/contexts/index", _request("GET", f"{CONTEXTS}?limit=50")),
        Call("GET /api/v1/contexts/{id}", f"{one}/index", _request("GET", path)),
        Call("GET …/messages, 50", f"{one}/messages", _request("GET", f"{path}/messages?limit=50")),
        Call(f"GET …/window, {BUDGET:,} tokens", f"{one}/window", _request("GET", f"{path}/window?budget={BUDGET}")),
        Call("POST …/messages, tokens given", f"{one}/messages", _request("POST", f"{scratch}/messages", given)),
        Call("POST …/messages, tokens counted", f"{one}/messages", _request("POST", f"{scratch}/messages", counted)),
    ]


def _request(method: str, path: str, body: str = "") -> str:
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1", f"authorization: Bearer {API_KEY}"]
    if body:
        lines += ["content-type: application/json", f"content-length: {len(body.encode())}"]
    return "\r\n".join([*lines, "", body])


def _cold_starts(report: Report, deployments: list[Deployment], calls: list[Call]) -> None:
    columns = "ms", "CPU ms", "goal", "", "fast ms", "CPU ms"
    report.section("Cold start on Vercel's runtime, spawn to first answer", *columns)
    for call in calls:
        starts: tuple[list[Start], list[Start]] = ([], [])
        for _ in range(STARTS):
            for deployment, times in zip(deployments, starts, strict=True):
                times.append(_cold_start(deployment, call))
        wall, fast_wall = (median(start.milliseconds for start in times) for times in starts)
        cpu, fast_cpu = (f"{median(start.cpu_milliseconds for start in times):.0f}" for times in starts)
        fast = f"{fast_wall:.0f}", fast_cpu
        if call.function == "api/noop":
            report.row(call.name, f"{wall:.0f}", cpu, "", "", *fast)
            continue
        goal = COUNTING_GOAL if call.name.endswith("counted") else START_GOAL
        ok = wall <= goal
        report.met += ok
        if not ok:
            report.missed.append(f"cold start, {call.name}")
        report.row(call.name, f"{wall:.0f}", cpu, f"<= {goal}", "ok" if ok else "MISS", *fast)


def _cold_start(deployment: Deployment, call: Call) -> Start:
    """From the start of the process to the end of its first answer."""
    instance = deployment.functions[call.function].start()
    try:
        answer = b""
        with socket.create_connection(("127.0.0.1", instance.port)) as sock:
            sock.sendall(call.request.replace("\r\n", "\r\nconnection: close\r\n", 1).encode())
            while data := sock.recv(1 << 16):
                answer += data
        milliseconds = (time.perf_counter() - instance.started) * 1000
        if answer[9:12] not in {b"200", b"201", b"404"}:
            raise BundleError(f"unexpected answer to {call.name}: {answer[:300]!r}")
        return Start(milliseconds, _cpu_milliseconds(instance))
    finally:
        instance.kill()


def _cpu_milliseconds(instance: Instance) -> float:
    """What the process's threads have had of a core: wall-clock times rise with whatever else runs here."""
    threads = Path(f"/proc/{instance.pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e6


@contextmanager
def _running(deployment: Deployment, call: Call) -> Iterator[tuple[Instance, Client]]:
    instance = deployment.functions[call.function].start()
    try:
        with client(instance.port) as load:
            yield instance, load
    finally:
        instance.stop()


def _load(report: Report, deployments: list[Deployment], calls: list[Call]) -> None:
    """Rates and memory; each call beside the no-op of its own bundle."""
    columns = "req/s", "p50 ms", "p99 ms", "x no-op", "MB", "fast", "x no-op", "fast MB", "gain"
    report.section(f"On Vercel's runtime, {CONNECTIONS} connections", *columns)
    for call in calls[2:]:
        rows = Rates(), Rates()
        with ExitStack() as stack:
            noops = [stack.enter_context(_running(deployment, calls[0])) for deployment in deployments]
            running = [stack.enter_context(_running(deployment, call)) for deployment in deployments]
            for _ in range(ROUNDS):
                for row, (_, noop), (_, load) in zip(rows, noops, running, strict=True):
                    floor, _ = noop.run([calls[0].request], CONNECTIONS, ROUND_SECONDS)
                    rate, latencies = load.run([call.request], CONNECTIONS, ROUND_SECONDS)
                    row.rates.append(rate)
                    row.ratios.append(rate / floor)
                    row.latencies += latencies
            memory = [_resident_megabytes(instance) for instance, _ in running]
        plain, fast = rows
        percentiles = quantiles(plain.latencies, n=100)
        gain = median(fast.rates) / median(plain.rates)
        report.row(
            call.name,
            f"{median(plain.rates):,.0f}",
            f"{percentiles[49] / 1000:.1f}",
            f"{percentiles[98] / 1000:.1f}",
            f"{median(plain.ratios):.2f}",
            f"{memory[0]:.0f}",
            f"{median(fast.rates):,.0f}",
            f"{median(fast.ratios):.2f}",
            f"{memory[1]:.0f}",
            f"{gain:.2f}",
        )
        if call.function.endswith("window"):
            verdict = "pay" if gain >= FAST_PAYS else "do not pay"
            report.row(f"uvloop and httptools {verdict}: {gain:.2f} of {FAST_PAYS}")


def _resident_megabytes(instance: Instance) -> float:
    """What the process has in memory, of which its files' pages are shared with others."""
    status = Path(f"/proc/{instance.pid}/status").read_text()
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
    return int(kilobytes) * 1024 / 1e6


def _conclude(report: Report, plain: Bundle, fast: Bundle) -> None:
    sizes = [max(function.size for function in bundle.functions.values()) / 1e6 for bundle in (plain, fast)]
    report.row("a function's size in MB, without and with uvloop and httptools", *(f"{size:.1f}" for size in sizes))


def main() -> int:
    """The command. Returns the exit status."""
    report = Report()
    with postgres.temporary() as url:
        list(migrate.up(url))
        measure(report, url)
    report.summary()
    return 0


if __name__ == "__main__":
    sys.exit(main())

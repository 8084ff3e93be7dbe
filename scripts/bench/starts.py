"""Cold starts of functions on Vercel's runtime: how long until the first answer, and where the time goes.

The runtime sends its own phases with the first answer, and lib.web what the request took of the database.
"""

import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from scripts.bench.calls import Call, cpu_milliseconds
from scripts.bench.report import Report
from scripts.bundle import BundleError
from scripts.stack.vercel.deployment import Deployment
from scripts.stack.vercel.functions import Instance

STARTS = 9
# Milliseconds from spawn to the first answer, median, without and with tokens to count.
GOAL = 220
COUNTING_GOAL = 500

# The phases of a start in their order, in milliseconds.
PHASES = {
    "Python": "the interpreter, until the runtime is told the time",
    "runtime": "the runtime's own imports",
    "imports": "ours, the endpoint file's",
    "server": "uvicorn: its imports, its loop, our lifespan, reading and writing HTTP",
    "first DB": "pool, connection and first statement",
    "rest": "what else the request took here: models are built, tokens counted",
    "next DB": "the same statement in the request behind, for comparison",
}

# What the first answer says: of the runtime's, whole milliseconds.
_RUNTIME = re.compile(
    rb"\r\nx-vercel-internal-timing: [^\r]*?=(\d+);[^\r]*?,import-fn;dur=(\d+);[^\r]*?,server-ready;dur=(\d+)"
)
_OURS = re.compile(rb"\r\nserver-timing: db;dur=([\d.]+), total;dur=([\d.]+)")


@dataclass(frozen=True, slots=True)
class Start:
    """A cold start in milliseconds: how long it took, how long of that it computed, and its phases."""

    wall: float
    cpu: float
    phases: Mapping[str, float]


def measure(report: Report, deployments: Mapping[str, Deployment], calls: Mapping[str, Call]) -> None:
    """Prints both sections. The first deployment is what would be deployed; each other is its rival."""
    starts: dict[tuple[str, str], list[Start]] = {(name, key): [] for name in deployments for key in calls}
    for _ in range(STARTS):
        for key, call in calls.items():
            for name, deployment in deployments.items():
                starts[name, key].append(_start(deployment, call))

    ours, *rivals = deployments
    columns = [cell for name in rivals for cell in (f"{name}: CPU", "ms")]
    report.section("Cold start on Vercel's runtime, spawn to first answer", *columns, "CPU ms", "ms", "goal", "")
    for key, call in calls.items():
        cells = [f"{figure:.0f}" for name in (*rivals, ours) for figure in _medians(starts[name, key])]
        if key in {"noop", "spared"}:
            report.row(call.name, *cells)
        else:
            goal = COUNTING_GOAL if key == "counted" else GOAL
            report.goal(call.name, *cells, goal=f"<= {goal}", ok=_medians(starts[ours, key])[1] <= goal)

    report.section("Where the milliseconds of these cold starts go", *PHASES)
    for key, call in calls.items():
        runs = starts[ours, key]
        report.row(call.name, *(f"{median(run.phases.get(phase, 0) for run in runs):.1f}" for phase in PHASES))
    for phase, meaning in PHASES.items():
        report.row(f"  {phase}: {meaning}")


def _medians(starts: list[Start]) -> tuple[float, float]:
    """CPU and wall-clock milliseconds."""
    return median(start.cpu for start in starts), median(start.wall for start in starts)


def _start(deployment: Deployment, call: Call) -> Start:
    """From the start of the process to the end of its first answer."""
    instance = deployment.functions[call.function].start()
    ready = (time.perf_counter() - instance.started) * 1000
    try:
        first = _answer(instance, call)
        wall = (time.perf_counter() - instance.started) * 1000
        return Start(wall, cpu_milliseconds(instance), _phases(ready, wall, first, _answer(instance, call)))
    finally:
        instance.kill()


def _phases(ready: float, wall: float, first: bytes, second: bytes) -> dict[str, float]:
    """ready: when the runtime had said where it listens; wall: when the first answer had come."""
    timing = _RUNTIME.search(first)
    assert timing, first[:500]
    runtime, imports, listening = map(float, timing.groups())
    phases = {
        "Python": ready - runtime - imports - listening,
        "runtime": runtime,
        "imports": imports,
        "server": listening + wall - ready,
    }
    # A no-op does not say.
    if (ours := _OURS.search(first)) and (next_ours := _OURS.search(second)):
        database, total = map(float, ours.groups())
        phases["server"] -= total
        phases |= {"first DB": database, "rest": total - database, "next DB": float(next_ours[1])}
    return phases


def _answer(instance: Instance, call: Call) -> bytes:
    answer = b""
    with socket.create_connection(("127.0.0.1", instance.port)) as sock:
        sock.sendall(call.requests[0].replace("\r\n", "\r\nconnection: close\r\n", 1).encode())
        while data := sock.recv(1 << 16):
            answer += data
    if answer[9:12] not in {b"200", b"201", b"404"}:
        raise BundleError(f"unexpected answer to {call.name}: {answer[:300]!r}")
    return answer

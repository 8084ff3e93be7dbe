"""The bench's last section: what a cold start pays to import each endpoint file, with bytecode."""

import json
import os
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from statistics import median

from scripts.bench.report import Report
from scripts.stack.router import ROOT
from scripts.stack.vercel import config

RUNS = 9
SLOWEST = 5
IMPORTTIME_RUNS = 3

# As the platform does it: a file, loaded by its path. With no path it is the interpreter alone.
CHILD = """
import json, sys, time
if path := sys.argv[1]:
    import importlib.util
    spec = importlib.util.spec_from_file_location("endpoint", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
print(json.dumps({"milliseconds": time.process_time() * 1000, "tiktoken": "tiktoken" in sys.modules}))
"""


@dataclass(frozen=True, slots=True)
class Start:
    """A fresh interpreter that has imported one file: CPU milliseconds since it started, and whether tiktoken came."""

    milliseconds: float
    tiktoken: bool


def measure(report: Report) -> None:
    """Prints the section."""
    paths = ["", *(str(path.relative_to(ROOT)) for path in config.functions(ROOT).values())]
    slowest = {path: _slowest(path) for path in paths}  # also writes the bytecode
    starts: dict[str, list[Start]] = {path: [] for path in paths}
    for _ in range(RUNS):
        for path in paths:
            starts[path].append(_start(path))
    milliseconds = {path: median(start.milliseconds for start in runs) for path, runs in starts.items()}

    report.section("Cold import in a fresh interpreter, bytecode there", "CPU ms", "", "slowest by package, self ms")
    report.row("the interpreter alone", f"{milliseconds['']:.0f}")
    for path in paths[1:]:
        packages = ", ".join(f"{package} {own:.0f}" for package, own in slowest[path])
        report.row(path, f"{milliseconds[path]:.0f}", "", f"    {packages}")
    loaded = [path for path, runs in starts.items() if any(start.tiktoken for start in runs)]
    report.goal("files that import tiktoken", str(len(loaded)), goal="0", ok=not loaded)


def _python(*options: str, errors: int | None = None) -> "subprocess.CompletedProcess[str]":
    # Not the parent's wish: without bytecode every start would compile everything.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, *options]
    return subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True, check=True
    )


def _start(path: str) -> Start:
    return Start(**json.loads(_python("-c", CHILD, path).stdout))


def _slowest(path: str) -> list[tuple[str, float]]:
    """The packages that took longest to import, with their own milliseconds (without what they import in turn)."""
    _python("-c", CHILD, path)
    runs = [_own_milliseconds(path) for _ in range(IMPORTTIME_RUNS)]
    medians = {package: median(run.get(package, 0.0) for run in runs) for package in runs[0]}
    return sorted(medians.items(), key=lambda item: item[1], reverse=True)[:SLOWEST]


def _own_milliseconds(path: str) -> dict[str, float]:
    own: defaultdict[str, float] = defaultdict(float)
    for line in _python("-X", "importtime", "-c", CHILD, path, errors=subprocess.PIPE).stderr.splitlines():
        microseconds, _, name = line.removeprefix("import time:").split("|")
        if microseconds.strip().isdecimal():
            own[name.strip().partition(".")[0]] += int(microseconds) / 1000
    return own

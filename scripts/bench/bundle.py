"""The bench's section on the bundle as Vercel's own runtime runs it; `python -m scripts.bench.bundle` runs it alone.

Cold starts and their phases, rates, memory, and the CPU of requests; each also with uvloop, and with uvloop and
httptools ("fast"), which uvicorn takes where it finds them. No-ops and these packages are in the copies that are
measured and nowhere else. What is compared alternates.
"""

import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from lib.web.application import ABSENT
from scripts import migrate
from scripts.bench import rates, starts
from scripts.bench.calls import NOOP, SPARED, calls
from scripts.bench.report import Report
from scripts.bundle import BundleError, build, environment
from scripts.stack import postgres
from scripts.stack.vercel.built import Bundle
from scripts.stack.vercel.deployment import Deployment

UVLOOP = "uvloop==0.23.0"
HTTPTOOLS = "httptools==0.9.0"
# The names of the copies, and what each has beyond what is deployed.
COPIES: dict[str, tuple[str, ...]] = {"plain": (), "uvloop": (UVLOOP,), "fast": (UVLOOP, HTTPTOOLS)}

# The runtime leaves Nagle's algorithm on, which would hold every answer up.
NOOP_CODE = """
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

# What lib.web does for itself in lifespan.startup.
SPARED_CODE = f"import sys\n\nsys.modules.update(dict.fromkeys({ABSENT}))\n{NOOP_CODE}"


def measure(report: Report, url: str) -> None:
    """Prints the sections; url is a migrated database. Says so where the bundle cannot be built here."""
    try:
        bundles = {name: _build(name, packages) for name, packages in COPIES.items()}
    except BundleError as error:
        report.section("The bundle on Vercel's runtime")
        report.row(f"left out: {error}")
        return
    report.section("A function's size", "MB")
    for name, bundle in bundles.items():
        before = _megabytes(bundle)
        packages = " and ".join(COPIES[name])
        report.row(f"with {packages}" if packages else "as it is deployed", f"{before:.1f}")
        # The builder does not do this, and nothing of ours runs behind it: it tells code from debug symbols.
        if packages and _strip(bundle):
            report.row("  the two stripped of debug symbols, as below", f"{_megabytes(bundle):.1f}")
    with ExitStack() as stack:
        deployments = {
            name: stack.enter_context(Deployment(bundle, environment(url))) for name, bundle in bundles.items()
        }
        measured = calls(deployments["plain"])
        starts.measure(report, deployments, measured)
        rates.measure(report, deployments, {key: call for key, call in measured.items() if key != "nothing"})


def _build(name: str, packages: tuple[str, ...]) -> Bundle:
    def change(folder: Path) -> None:
        (folder / f"{NOOP}.py").write_text(NOOP_CODE)
        (folder / f"{SPARED}.py").write_text(SPARED_CODE)
        for file, line in (("pyproject.toml", "    {!r},\n"), ("requirements.txt", "{}\n")):
            path = folder / file
            added = "".join(line.format(package) for package in packages)
            anchor = "dependencies = [\n" if file == "pyproject.toml" else ""
            path.write_text(path.read_text().replace(anchor, anchor + added, 1))

    return build(f"bench-{name}", change)


def _strip(bundle: Bundle) -> bool:
    """Strips the libraries of what the copy has more; False where this machine cannot."""
    if not shutil.which("strip"):
        return False
    libraries = {
        file
        for function in bundle.functions.values()
        for name, file in function.files.items()
        if name.startswith(("_vendor/uvloop/", "_vendor/httptools/")) and ".so" in file.suffixes
    }
    for library in libraries:
        # A new file: this one may be uv's own as well.
        stripped = library.with_suffix(".stripped")
        subprocess.run(["strip", "--strip-unneeded", "-o", stripped, library], check=True)
        stripped.replace(library)
    return True


def _megabytes(bundle: Bundle) -> float:
    return max(function.size for function in bundle.functions.values()) / 1e6


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

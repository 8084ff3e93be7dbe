"""Builds what Vercel deploys, checks it and runs it on Vercel's own runtime: `make bundle`, `python -m scripts.bundle`.

`--test` also runs the HTTP tests against it. Needs node and npm, Python 3.12 and uv; no login. Everything is built in
copies below .bundle/, as `vercel build` writes into the tree that it builds.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

import httpx

from scripts import migrate, smoke
from scripts.dev import listening_socket
from scripts.stack import postgres, probes
from scripts.stack.pgbouncer import PgBouncerError, pgbouncer
from scripts.stack.vercel import config
from scripts.stack.vercel.built import Built, Bundle
from scripts.stack.vercel.deployment import Deployment
from scripts.stack.vercel.functions import StartError, interpreter

ROOT = Path(__file__).parent.parent
WORK = ROOT / ".bundle"

PACKAGE = ROOT / "scripts" / "node" / "package.json"
VERCEL = json.loads(PACKAGE.read_text())["dependencies"]["vercel"]
# What a directory needs to be built without a login.
PROJECT = {"projectId": "prj_local", "orgId": "team_local", "settings": {}}

# Vercel's limit on the Hobby plan.
MAX_FUNCTIONS = 12
# Ours; Vercel's is 250 MB. A cold start reads what it imports from here.
MAX_MEGABYTES = 60

# What a function must not carry: files of the project, and what pyproject.toml keeps uv from installing.
UNWANTED = re.compile(
    r"(tests|scripts|examples|clients|public|\.ci|\.github|\.env|\.venv|\.postgres|_vendor/(requests|urllib3))\b"
)

API_KEY = "a-key-of-this-bundle-only"

CONTEXTS = "/api/v1/contexts"
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"

# Where each path leads: the function, and the query that the platform adds to the client's.
EXPECTED_ROUTES = {
    "/health": ("api/health", ""),
    "/api/health": ("api/health", ""),
    CONTEXTS: ("api/v1/contexts/index", ""),
    f"{CONTEXTS}/": ("api/v1/contexts/index", ""),
    f"{CONTEXTS}/{UNKNOWN_ID}": ("api/v1/contexts/[id]/index", f"id={UNKNOWN_ID}"),
    f"{CONTEXTS}/{UNKNOWN_ID}/messages": ("api/v1/contexts/[id]/messages", f"id={UNKNOWN_ID}"),
    f"{CONTEXTS}/{UNKNOWN_ID}/window": ("api/v1/contexts/[id]/window", f"id={UNKNOWN_ID}"),
    f"{CONTEXTS}/{UNKNOWN_ID}/compactions": ("api/v1/contexts/[id]/compactions", f"id={UNKNOWN_ID}"),
    f"{CONTEXTS}/{UNKNOWN_ID}/compactions/1": (
        "api/v1/contexts/[id]/compactions/[number]",
        f"id={UNKNOWN_ID}&number=1",
    ),
    f"{CONTEXTS}/{UNKNOWN_ID}/compactions/1/more": ("api/not_found", ""),
    f"{CONTEXTS}/{UNKNOWN_ID}/forks": ("api/v1/contexts/[id]/forks", f"id={UNKNOWN_ID}"),
    f"{CONTEXTS}/{UNKNOWN_ID}/forks/1": ("api/not_found", ""),
    f"{CONTEXTS}/{UNKNOWN_ID}/nothing": ("api/not_found", ""),
    f"{CONTEXTS}/{UNKNOWN_ID}/window/more": ("api/not_found", ""),
    "/index.html": ("api/not_found", ""),
    "/nothing": ("api/not_found", ""),
    "/api/nothing": ("api/not_found", ""),
    "/api/v2/contexts": ("api/not_found", ""),
    "/lib/config.py": ("api/not_found", ""),
    "/pyproject.toml": ("api/not_found", ""),
    "/docs-and-more": ("api/not_found", ""),
}

# The pages. vercel.json has a rule for all paths and then a policy each for the API, the pages, and Swagger UI, which
# needs images in its style sheet and HTML that it makes of texts.
PAGES = {
    "/docs": ("docs/index.html", ""),
    "/docs/": ("docs/index.html", ""),
    "/docs/docs.css": ("docs/docs.css", ""),
    "/playground": ("playground/index.html", ""),
    "/playground/": ("playground/index.html", ""),
    "/playground/preact.js": ("playground/preact.js", ""),
}
TRY = {
    "/docs/try": ("docs/try/index.html", ""),
    "/docs/try/": ("docs/try/index.html", ""),
    "/docs/try/swagger-ui-bundle.js": ("docs/try/swagger-ui-bundle.js", ""),
}
POLICIES = (EXPECTED_ROUTES, PAGES, TRY)


class BundleError(Exception):
    """The bundle could not be built, or is not as it must be; the text says why."""


# --- Building


def build(name: str, change: Callable[[Path], None] | None = None, **variables: str) -> Bundle:
    """A fresh copy of the tree in .bundle/name, changed by change, and built with variables. Raises BundleError."""
    vercel = _vercel()
    folder = WORK / name
    shutil.rmtree(folder, ignore_errors=True)
    for file in _tree():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / file, folder / file)
    (folder / ".vercel").mkdir()
    (folder / ".vercel" / "project.json").write_text(json.dumps(PROJECT))
    if change:
        change(folder)
    command = [vercel, "build", "--yes", "--global-config", str(WORK / "config")]
    _run(command, folder, {**_build_environment(), "VERCEL_PYTHON_COMPILEALL": "1", **variables})
    return Bundle(folder)


def _tree() -> list[str]:
    """The files that are in the repository or could be: nothing that git ignores."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        raise BundleError("cannot tell which files belong to the project: git and its repository are needed") from None
    return [file for file in listed.split("\0") if file and (ROOT / file).is_file()]


def _vercel() -> str:
    """npm's `vercel`, installed below .bundle/ where it is missing."""
    for tool in ("node", "npm"):
        if not shutil.which(tool):
            raise BundleError(f"{tool} is needed for Vercel's builder, and is not on PATH")
    folder = WORK / "node"
    installed = folder / "package.json"
    if not installed.is_file() or installed.read_text() != PACKAGE.read_text():
        print(f"Installing npm's vercel {VERCEL} …", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(PACKAGE, installed)
        try:
            _run(["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"], folder, dict(os.environ))
        except BaseException:
            installed.unlink()  # it says that the installation is whole
            raise
    return str(folder / "node_modules" / ".bin" / "vercel")


def _build_environment() -> dict[str, str]:
    """The environment in which the builder finds uv and a real Python 3.12."""
    scripts = sysconfig.get_path("scripts")
    path = os.pathsep.join([str(interpreter().parent), scripts, os.environ.get("PATH", os.defpath)])
    if not shutil.which("uv", path=path):
        raise BundleError("uv is needed for Vercel's builder, and is not installed")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("VERCEL_", "VIRTUAL_ENV"))}
    return {**kept, "PATH": path, "VERCEL_TELEMETRY_DISABLED": "1", "NO_UPDATE_NOTIFIER": "1", "NO_COLOR": "1"}


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    run = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if run.returncode:
        print("\n".join(run.stdout.splitlines()[-20:]), file=sys.stderr)
        raise BundleError(f"{Path(command[0]).name} {command[1]} failed with exit status {run.returncode}")


# --- Checking


def check(bundle: Bundle) -> None:
    """Prints a line for each thing that holds. Raises BundleError for the first that does not."""
    for title, find in CHECKS.items():
        print(f"  {title:<13}{find(bundle)}", flush=True)


def check_functions(bundle: Bundle) -> str:
    """Every file under api/ is a function, and nothing else is."""
    intended = config.functions(bundle.folder)
    _equal("functions", set(bundle.functions), set(intended))
    if len(intended) > MAX_FUNCTIONS:
        raise BundleError(f"there are {len(intended)} functions, and Vercel's Hobby plan has {MAX_FUNCTIONS}")
    return f"{len(intended)} of at most {MAX_FUNCTIONS}, one for each file under api/"


def check_static(bundle: Bundle) -> str:
    """The published files are those of public/: no source leaks."""
    intended = config.static(bundle.folder, config.read(bundle.folder / "vercel.json"))
    _equal("static files", set(bundle.static), set(intended))
    return f"{len(intended)} published, all of public/ and nothing else"


def check_runtime(bundle: Bundle) -> str:
    """The runtime packages and the project's own files are in every function."""
    wanted = _requirements(bundle.folder / "requirements.txt")
    files = (path for folder in ("api", "lib", "migrations") for path in (bundle.folder / folder).rglob("*"))
    own = {str(path.relative_to(bundle.folder)) for path in files if path.is_file() and path.suffix != ".pyc"}
    for function in bundle.functions.values():
        if missing := sorted(wanted - _distributions(function)):
            raise BundleError(f"{function.name} lacks packages: {', '.join(missing)}")
        if missing := sorted(own - function.files.keys()):
            raise BundleError(f"{function.name} lacks files: {', '.join(missing)}")
    return f"{', '.join(sorted(wanted))} and {len(own)} files of api/, lib/ and migrations/ in each function"


def check_development(bundle: Bundle) -> str:
    """No development package, test, script or client is in any function."""
    wanted = _requirements(bundle.folder / "requirements.txt")
    unwanted = _requirements(bundle.folder / "requirements-dev.txt") - wanted
    for function in bundle.functions.values():
        found = sorted(unwanted & _distributions(function))
        found += sorted(name for name in function.files if UNWANTED.match(name))
        if found:
            raise BundleError(f"{function.name} carries what it must not: {', '.join(found[:5])}")
    return f"none of {len(unwanted)} development packages, no tests, no scripts, no clients"


def check_bytecode(bundle: Bundle) -> str:
    """Every Python file comes with its bytecode, but the start file that the builder writes."""
    counts = set()
    for function in bundle.functions.values():
        sources = [Path(name) for name in function.files if name.endswith(".py") and not name.startswith("vc__")]
        compiled = {source: str(source.parent / "__pycache__" / f"{source.stem}.cpython-312.pyc") for source in sources}
        if missing := [str(source) for source, name in compiled.items() if name not in function.files]:
            raise BundleError(f"{function.name} lacks bytecode of {len(missing)} files: {', '.join(missing[:5])}")
        counts.add(len(sources))
    return f"of {max(counts)} Python files in each function"


def check_size(bundle: Bundle) -> str:
    """Every function is smaller than it may be."""
    sizes = {function.name: function.size / 1e6 for function in bundle.functions.values()}
    name = max(sizes, key=lambda name: sizes[name])
    if sizes[name] >= MAX_MEGABYTES:
        raise BundleError(f"{name} is {sizes[name]:.1f} MB large, and may be {MAX_MEGABYTES}")
    return f"{sizes[name]:.1f} MB for the largest function, of at most {MAX_MEGABYTES}"


def check_routes(bundle: Bundle) -> str:
    """Paths lead where they must, with the security headers of vercel.json; `make dev` has the same routes."""
    settings = config.read(bundle.folder / "vercel.json")
    for ours, built in zip_longest(config.routes(settings, bundle.functions), bundle.generated):
        if ours != built:
            raise BundleError(f"make dev applies the route {ours} instead of {built}")
    headers = {name: value for rule in settings["headers"] for name, value in _headers(rule).items()}
    if not headers.keys() >= {"X-Content-Type-Options", "Content-Security-Policy", "Strict-Transport-Security"}:
        raise BundleError("vercel.json lacks security headers")
    paths = [(path, wanted, rule) for rule, part in enumerate(POLICIES, 1) for path, wanted in part.items()]
    for path, expected, own in paths:
        match = bundle.routes.find("GET", path)
        if (match.target, match.query) != expected:
            raise BundleError(f"{path} leads to {match.target}?{match.query} instead of {'?'.join(expected)}")
        rules = [rule for rule in settings["headers"] if re.match(config.pattern(rule["source"]), path)]
        if match.headers != {name: value for rule in rules for name, value in _headers(rule).items()}:
            raise BundleError(f"{path} is answered without the headers of vercel.json")
        policies = [rule for rule in rules if "Content-Security-Policy" in _headers(rule)]
        if policies != [settings["headers"][own]]:
            raise BundleError(f"{path} is answered with {len(policies)} content security policies, or another's")
    return f"{len(paths)} paths lead where they must, with their security headers, as in make dev"


def _headers(rule: dict[str, Any]) -> dict[str, str]:
    return {header["key"]: header["value"] for header in rule["headers"]}


CHECKS = {
    "functions": check_functions,
    "static files": check_static,
    "runtime": check_runtime,
    "development": check_development,
    "bytecode": check_bytecode,
    "size": check_size,
    "routes": check_routes,
}


def check_left_out(bundle: Bundle) -> None:
    """A build with PLAYGROUND=0 publishes all that bundle does, but for the playground. Raises BundleError."""
    without = build("without", PLAYGROUND="0")
    kept = {name for name in bundle.static if not name.startswith("playground/")}
    _equal("static files with PLAYGROUND=0", set(without.static), kept)
    if without.routes.find("GET", "/playground").target != "api/not_found":
        raise BundleError("with PLAYGROUND=0 /playground is answered")
    print("\nBuilt with PLAYGROUND=0: the same without the playground", flush=True)


def _equal(what: str, found: set[str], intended: set[str]) -> None:
    if more := sorted(found - intended):
        raise BundleError(f"{what} that must not be: {', '.join(more[:5])}")
    if missing := sorted(intended - found):
        raise BundleError(f"{what} are missing: {', '.join(missing[:5])}")


def _requirements(file: Path) -> set[str]:
    """The distributions that file names, an extra as the distribution that psycopg has for it."""
    names = set()
    for line in file.read_text().splitlines():
        if found := re.match(r"(\w[\w.-]*)(?:\[([^]]+)])?", line):
            name = found[1].lower().replace("-", "_")
            names |= {name, *(f"{name}_{extra.strip()}" for extra in (found[2] or "").split(",") if extra)}
    return names


def _distributions(function: Built) -> set[str]:
    found = (re.match(r"_vendor/([^/]+?)-[^/-]+\.dist-info/METADATA$", name) for name in function.files)
    return {match[1].lower() for match in found if match}


# --- Running


def environment(url: str) -> dict[str, str]:
    """What the functions are told, beside what the platform sets; url is the database's, with a pooler or without."""
    return {"DATABASE_URL": url, "DATABASE_ALLOW_UNPOOLED": "1", "API_KEYS": API_KEY}


def named_as_neons(url: str) -> str:
    """The URL of a pooler on this machine under a name as Neon's poolers have; hostaddr says where it really is."""
    return url.replace("@127.0.0.1:", "@kata-pooler.localhost:") + "?hostaddr=127.0.0.1"


def try_out(deployment: Deployment) -> None:
    """Requests every function and prints how long its first answer took. Raises BundleError for a wrong answer."""
    first: dict[str, float] = {}
    with httpx.Client(base_url=deployment.url, headers={"authorization": f"Bearer {API_KEY}"}, timeout=60) as client:

        def call(status: int, method: str, path: str, body: object = None) -> httpx.Response:
            target = deployment.bundle.routes.find(method, path.partition("?")[0]).target
            started = time.perf_counter()
            answer = client.request(method, path, json=body) if body is not None else client.request(method, path)
            first.setdefault(str(target), (time.perf_counter() - started) * 1000)
            if answer.status_code != status:
                raise BundleError(f"{method} {path} is answered {answer.status_code}: {answer.text[:300]}")
            if answer.headers.get("x-content-type-options") != "nosniff":
                raise BundleError(f"{method} {path} is answered without security headers")
            return answer

        call(200, "GET", "/health")
        call(200, "GET", "/api/health")
        context = call(201, "POST", CONTEXTS, {"name": "bundle"}).headers["location"]
        call(200, "GET", f"{CONTEXTS}?limit=1")
        call(200, "GET", context)
        call(200, "PATCH", context, {"name": "renamed"})
        call(201, "POST", f"{context}/messages", {"messages": [{"role": "user", "content": "Hello"}]})
        call(200, "GET", f"{context}/messages?limit=1")
        window = call(200, "GET", f"{context}/window?budget=100&id={UNKNOWN_ID}").json()
        compaction = {"throughVersion": 1, "summary": "A greeting"}
        made = call(201, "POST", f"{context}/compactions", compaction).headers["location"]
        call(200, "GET", f"{made}?number=2&id={UNKNOWN_ID}")
        call(200, "DELETE", made)
        fork = call(201, "POST", f"{context}/forks").headers["location"]
        call(200, "GET", f"{context}/forks?limit=1&id={UNKNOWN_ID}")
        call(200, "DELETE", fork)
        call(404, "GET", f"{CONTEXTS}/{UNKNOWN_ID}")
        call(404, "GET", "/nothing")
        call(405, "PUT", context)
        call(200, "DELETE", context)
    if window["usedTokens"] != 1:
        raise BundleError(f"the window of 'Hello' has {window['usedTokens']} tokens instead of 1")

    print(f"\n  {'function':<44}{'MB':>6}{'first answer, ms':>18}")
    for name, function in sorted(deployment.bundle.functions.items()):
        print(f"  {name:<44}{function.size / 1e6:>6.1f}{first[name]:>18.0f}")


@contextmanager
def dev_server(url: str) -> Iterator[str]:
    """Where the API is served as by `make dev`, with the settings that the functions have."""
    with listening_socket(0) as sock:
        descriptor = sock.fileno()
        options = ["--fd", str(descriptor), "--lifespan", "on", "--log-level", "error", "--no-access-log"]
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "--factory", "scripts.stack.router:Router", *options],
            cwd=ROOT,
            env={**os.environ, **environment(url)},
            pass_fds=[descriptor],
            stdout=subprocess.DEVNULL,
        )
        try:
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        finally:
            process.terminate()
            process.wait()


def compare(deployment: Deployment, url: str) -> None:
    """Sends the same requests to the deployment and to a dev server. Raises BundleError where answers differ."""
    headers = {"authorization": f"Bearer {API_KEY}"}
    with dev_server(url) as dev:
        for method, target in probes.PROBES:
            ours, theirs = (probes.ask(server, method, target, headers) for server in (dev, deployment.url))
            if ours != theirs:
                raise BundleError(f"{method} {target} is answered {ours} by make dev, and {theirs} here")
    print(f"\nAnswered by `make dev` as here: {len(probes.PROBES)} requests of odd shapes", flush=True)


def run_tests(deployment: Deployment, url: str) -> None:
    """Runs the HTTP tests against the deployment, whose database is at url. Raises BundleError where one fails."""
    print("\nThe HTTP tests, on Vercel's runtime:", flush=True)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/api", "--pgbouncer", "--url", deployment.url],
        cwd=ROOT,
        env={**os.environ, "TEST_DATABASE_URL": url, "TEST_API_KEY": API_KEY},
        check=False,
    )
    if run.returncode:
        raise BundleError(f"the HTTP tests failed with exit status {run.returncode}")


EXPECTED = (
    BundleError,
    config.ConfigError,
    migrate.MigrationError,
    PgBouncerError,
    postgres.PostgresError,
    smoke.SmokeError,
    StartError,
)


def main(arguments: list[str] | None = None) -> int:
    """The command. Returns the exit status: 0, or 1 for a bundle that is not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bundle", description="Builds and checks the bundle.")
    parser.add_argument("--test", action="store_true", help="run tests/api against it")
    chosen = parser.parse_args(arguments)
    # Without this SIGTERM would leave the functions behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        started = time.perf_counter()
        bundle = build("build")
        print(f"Built with vercel {VERCEL} in {time.perf_counter() - started:.0f} s:")
        check(bundle)
        check_left_out(bundle)
        with postgres.temporary() as url, pgbouncer(url) as pooler:
            list(migrate.up(url))
            with Deployment(bundle, environment(named_as_neons(pooler.url))) as deployment:
                try_out(deployment)
                print("\n  smoke")
                smoke.run(smoke.target(deployment.url, API_KEY))
                compare(deployment, url)
                if chosen.test:
                    run_tests(deployment, url)
    except EXPECTED as error:
        print(f"bundle: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

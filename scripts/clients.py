"""Builds the packages of clients/ and tests them as users get them: `make clients`, `python -m scripts.clients`.

What is tested is what was built and installed, never the sources: a wheel in an environment of its own, with all extras
and with none, and a tarball in an empty folder. It is all below .clients/, and so is what may be published, in
.clients/dist. Needs node and npm, and the network where something is to be installed. Nothing is left out in silence.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).parent.parent
WORK = ROOT / ".clients"
DIST = WORK / "dist"
PYTHON = ROOT / "clients" / "python"
TYPESCRIPT = ROOT / "clients" / "typescript"
REQUIREMENTS = PYTHON / "requirements-dev.txt"

# What a user of the bare wheel has: the client, and a command that says which extra it needs.
BARE = """
import subprocess, sys
import kata_context
assert "site-packages" in kata_context.__file__, kata_context.__file__
kata_context.Client("http://127.0.0.1:1", max_retries=0).close()
try:
    import kata_context.openai_agents
except ImportError as error:
    assert "kata-context[openai-agents]" in str(error), error
run = subprocess.run([sys.argv[1], "mcp"], capture_output=True, text=True)
assert run.returncode == 1 and "kata-context[mcp]" in run.stderr, run
"""

# Ten lines of a user of the tarball, with the URL of a service as their argument.
TEN_LINES = """
import { Client } from "kata-context";

const kata = new Client({ url: process.argv[2]! });
const context = await kata.createContext({ policy: { budget: 8000, keepRequest: true } });
await kata.append(context.id, [{ role: "user", content: "Where is my order 1042?" }]);
for await (const message of kata.messages(context.id)) console.log(message.version, message.content);
const window = await kata.window(context.id, { format: "openai-chat" });
console.log(window.usedTokens, JSON.stringify(window.data));
await kata.deleteContext(context.id);
"""
PRINTED = '1 Where is my order 1042?\n8 {"messages":[{"role":"user","content":"Where is my order 1042?"}]}\n'


class ClientsError(Exception):
    """A package could not be built, or is not as it must be; the text says why."""


# --- Running and stamping


def run(*command: str | Path, cwd: Path = ROOT, shown: bool = False) -> str:
    """What the command prints, which goes to the terminal where it is shown. Raises ClientsError if it fails."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    output = None if shown else subprocess.PIPE
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**kept, "NO_UPDATE_NOTIFIER": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output and subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        print("\n".join((done.stdout or "").splitlines()[-40:]), file=sys.stderr)
        words = " ".join(Path(word).name for word in command[:4])
        raise ClientsError(f"{words} failed with exit status {done.returncode}")
    return done.stdout or ""


def once(folder: Path, make: Callable[[], None], *inputs: str) -> None:
    """Makes folder anew unless it was made of the same inputs. The stamp is written last, so a half is made again."""
    stamp = folder / ".stamp"
    wanted = hashlib.sha256("\0".join(inputs).encode()).hexdigest()
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    shutil.rmtree(folder, ignore_errors=True)
    make()
    stamp.write_text(wanted)


def fingerprint(files: Iterable[Path]) -> str:
    """One text for the names and contents of files."""
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(f"{file}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\0".encode())
    return digest.hexdigest()


# --- Python


def python(interpreter: str) -> None:
    """Builds, checks and tests the wheel and the sdist with a Python 3.11 or newer. Raises ClientsError."""
    version = run(interpreter, "-VV").strip()
    wheel = _wheel(interpreter, version)
    requirements = REQUIREMENTS.read_text()
    extras = ",".join(tomllib.loads((PYTHON / "pyproject.toml").read_text())["project"]["optional-dependencies"])

    def bare() -> None:
        print(f"Installing {wheel.name} without extras …", flush=True)
        _environment(interpreter, WORK / "bare", wheel)

    def full() -> None:
        print(f"Installing {wheel.name} with {extras.replace(',', ', ')} and what tests it …", flush=True)
        _environment(interpreter, WORK / "full", "-r", REQUIREMENTS, f"{wheel}[{extras}]")

    wants = fingerprint([PYTHON / "pyproject.toml"])
    once(WORK / "bare", bare, version, wants)
    once(WORK / "full", full, version, wants, requirements)
    for name in ("bare", "full"):
        run(WORK / name / "bin/pip", "install", "-q", "--force-reinstall", "--no-deps", wheel)
    run(WORK / "bare/bin/python", "-c", BARE, WORK / "bare/bin/kata-context", cwd=WORK)
    print(f"  {wheel.name} without extras: imports, and its command names the extra that it needs", flush=True)
    installed = WORK / "full" / "bin" / "python"
    run(installed, "-m", "mypy", "src", "generate.py", cwd=PYTHON)
    run(installed, "-m", "mypy", "tests", cwd=PYTHON)
    print("  mypy --strict: the sources, and the tests against the types that the wheel ships", flush=True)
    run(installed, "-m", "pytest", cwd=PYTHON, shown=True)


def _wheel(interpreter: str, version: str) -> Path:
    """The wheel, built by way of the sdist where a source has changed."""
    tools = WORK / "tools"
    pins = [line for line in REQUIREMENTS.read_text().splitlines() if line.startswith(("build==", "hatchling=="))]
    once(tools, lambda: _environment(interpreter, tools, *pins), version, *pins)
    sources = [path for path in (PYTHON / "src").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    sources += [PYTHON / name for name in ("pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE")]
    folder = DIST / "python"

    def build() -> None:
        print("Building the wheel and the sdist …", flush=True)
        run(tools / "bin/python", "-m", "build", "--no-isolation", "--outdir", folder, PYTHON)

    once(folder, build, fingerprint(sources), *pins)
    [wheel] = folder.glob("*.whl")
    return wheel


def _environment(interpreter: str, folder: Path, *wanted: str | Path) -> None:
    run(interpreter, "-m", "venv", folder)
    run(folder / "bin/python", "-m", "pip", "install", "--quiet", *wanted)


# --- TypeScript


def typescript(_: str) -> None:
    """Builds, tests and packs the npm package, and uses it from an empty folder. Raises ClientsError."""
    for tool in ("node", "npm"):
        if not shutil.which(tool):
            raise ClientsError(f"{tool} is needed for clients/typescript, and is not on PATH")
    if not (TYPESCRIPT / "package-lock.json").is_file():
        raise ClientsError("clients/typescript has no package-lock.json")
    lock = fingerprint([TYPESCRIPT / "package.json", TYPESCRIPT / "package-lock.json"])

    def install() -> None:
        print("Installing what clients/typescript is built and tested with …", flush=True)
        run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=TYPESCRIPT)

    once(TYPESCRIPT / "node_modules", install, run("node", "--version"), lock)
    run("npm", "test", cwd=TYPESCRIPT, shown=True)
    folder = DIST / "typescript"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run("npm", "pack", "--pack-destination", folder, cwd=TYPESCRIPT)
    [tarball] = folder.glob("*.tgz")
    _use(tarball)
    print(
        f"  {tarball.name} in an empty folder: ten lines that compile, strictly, and print what they must", flush=True
    )


def _use(tarball: Path) -> None:
    folder = WORK / "npm"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    (folder / "lines.ts").write_text(TEN_LINES)
    run("npm", "install", "--no-audit", "--no-fund", tarball, cwd=folder)
    installed = sorted(path.name for path in (folder / "node_modules").iterdir() if not path.name.startswith("."))
    if installed != ["kata-context"]:
        raise ClientsError(f"{tarball.name} brings other packages: {', '.join(installed)}")
    compiler = TYPESCRIPT / "node_modules" / ".bin" / "tsc"
    types = ["--typeRoots", str(TYPESCRIPT / "node_modules" / "@types"), "--types", "node"]
    run(compiler, "--strict", "--module", "nodenext", "--target", "es2022", *types, "lines.ts", cwd=folder)
    command = [sys.executable, "-m", "clients.stack"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as stack:
        url = json.loads(stack.stdout.readline())["url"] if stack.stdout else ""
        printed = run("node", "lines.js", url, cwd=folder)
    if printed != PRINTED:
        raise ClientsError(f"the ten lines printed {printed!r} instead of {PRINTED!r}")


PACKAGES: dict[str, Callable[[str], None]] = {"python": python, "typescript": typescript}


# --- Versions


def version_of(package: str) -> str:
    """The version that a package has. Raises ClientsError where its changelog has no such heading."""
    version: str
    if package == "python":
        version = re.findall(
            r'^VERSION = "([^"]+)"', (PYTHON / "src/kata_context/_client.py").read_text(), re.MULTILINE
        )[0]
    else:
        version = json.loads((TYPESCRIPT / "package.json").read_text())["version"]
    if f"\n## {version}\n" not in (ROOT / "clients" / package / "CHANGELOG.md").read_text():
        raise ClientsError(f"the changelog of clients/{package} has no heading for {version}")
    return version


def check_tag(tag: str) -> str:
    """The package that a tag publishes. Raises ClientsError unless it is that package's, with its version."""
    package, _, version = tag.partition("-v")
    if package not in PACKAGES:
        raise ClientsError(f"the tag {tag} is of no package: python-v… and typescript-v… are")
    if version != version_of(package):
        raise ClientsError(f"the tag {tag} is not of the version that clients/{package} has: {version_of(package)}")
    return package


def main(arguments: list[str] | None = None) -> int:
    """The command. Returns the exit status: 0, or 1 for a package that is not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m scripts.clients", description="Builds and tests the packages.")
    parser.add_argument("--only", choices=PACKAGES, help="this package alone")
    parser.add_argument("--python", default=sys.executable, help="the Python for the package, 3.11 or newer")
    parser.add_argument("--tag", help="the package that this tag publishes alone, which must be of its version")
    chosen = parser.parse_args(arguments)
    # Without this SIGTERM would leave what runs behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        only = check_tag(chosen.tag) if chosen.tag else chosen.only
        for package, test in PACKAGES.items():
            if only in {None, package}:
                started = time.perf_counter()
                print(f"{package} {version_of(package)}", flush=True)
                test(chosen.python)
                print(f"  all in {time.perf_counter() - started:.0f} s", flush=True)
            else:
                print(f"{package}: left out, as {only} alone was asked for", flush=True)
    except (ClientsError, OSError) as error:
        print(f"clients: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

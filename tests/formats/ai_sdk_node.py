"""Vercel's AI SDK as the judge of windows of `format=ai-sdk`: its versions 5, 6 and 7, run by node (node/check.mjs).

    with Checker() as checker:
        assert checker.refused({"messages": [{"role": "user", "content": "Hello"}]}) == {}

Must never need a network once its packages are installed, which the first use does.
"""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[2]
WORK = ROOT / ".bundle"
NODE = Path(__file__).parent / "node"
PACKAGE = NODE / "package.json"


class NodeError(Exception):
    """The AI SDK could not be installed or run; the text says why."""


class Checker:
    """One node process, which judges any number of windows; for one thread."""

    def __enter__(self) -> Self:
        """Starts it. Raises NodeError."""
        self._process = subprocess.Popen(
            ["node", str(NODE / "check.mjs"), str(packages())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(BrokenPipeError), self._process:  # a line that it never read
            self._process.kill()  # it keeps nothing

    def refused(self, data: dict[str, Any]) -> dict[str, str]:
        """Why the versions that refuse data do so: `{"v7": "messages[0].content: …"}`, {} where all three accept it.

        data is a window's, {"system"?, "messages"}. A member that a version would drop, a warning and a download are
        refusals; the list of messages may be empty. Raises NodeError where there is no answer.
        """
        assert self._process.stdin
        assert self._process.stdout
        # In ASCII, as node also ends a line at U+2028.
        line = json.dumps(data, allow_nan=False)
        try:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise NodeError(f"node ended with exit status {self._process.wait()}, and has said why on stderr")
        return {version: why for version, why in json.loads(answer).items() if why is not None}


def missing() -> list[str]:
    """The programs that this needs and that are not on PATH."""
    return [program for program in ("node", "npm") if not shutil.which(program)]


def packages() -> Path:
    """The folder below .bundle/ with the packages in node_modules, installed where it is missing. Raises NodeError.

    A changed package.json gets a folder of its own, and of several runs that install at once the first one's stays.
    """
    if programs := missing():
        raise NodeError(f"{' and '.join(programs)} must be on PATH for the AI SDK")
    folder = WORK / f"ai-sdk-{hashlib.sha256(PACKAGE.read_bytes()).hexdigest()[:12]}"
    if folder.is_dir():
        return folder
    wanted = json.loads(PACKAGE.read_text())["dependencies"].values()
    versions = ", ".join(value.removeprefix("npm:ai@") for value in wanted if value.startswith("npm:ai@"))
    print(f"Installing npm's ai {versions} …", flush=True)  # noqa: T201 - it takes a while, and a network
    WORK.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WORK, prefix="installing-") as name:
        new = Path(name) / folder.name
        new.mkdir()
        shutil.copy(PACKAGE, new)
        _install(new)
        try:
            new.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    return folder


def _install(folder: Path) -> None:
    run = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"],
        cwd=folder,
        env={**os.environ, "NO_UPDATE_NOTIFIER": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if run.returncode:
        raise NodeError(f"npm install failed with exit status {run.returncode}:\n{run.stdout[-2000:]}")

"""A tree of this repository, this one or another revision's, on a database of its own: for `against`."""

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

from scripts.bench import worker
from scripts.stack.router import ROOT

# -P keeps the folder of the file that is run off the path: in the worker's there are an `http` and other namesakes.
PYTHON = (sys.executable, "-P")

# Its method, its path and query, and its body, which may be empty.
type Call = tuple[str, str, str]


class RevisionError(Exception):
    """A revision cannot be measured; the text says why."""


def unpack(revision: str, folder: Path) -> str:
    """Puts the revision's files into folder. Returns its commit's id. Raises RevisionError."""
    # A commit's archive names it in its head; a file or a folder has none.
    command = ["git", "archive", "--format=tar", f"{revision}^{{commit}}"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    except FileNotFoundError:
        raise RevisionError(f"cannot read revision {revision}: git is not installed") from None
    if done.returncode:
        raise RevisionError(f"cannot read revision {revision}: git says {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
        return archive.pax_headers["comment"]


class Worker:
    """A process that calls a tree's API. Both methods raise RevisionError where it has ended."""

    def __init__(self, name: str, process: "subprocess.Popen[str]") -> None:
        self.name = name
        self._process = process

    def send(self, calls: Sequence[Call]) -> None:
        """Has these calls made, one behind the other."""
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps(calls) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def receive(self) -> tuple[list[float], Any]:
        """The milliseconds of each call that was sent, and the last one's answer."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise self._ended()
        milliseconds, body = json.loads(line)
        return milliseconds, json.loads(body)

    def _ended(self) -> RevisionError:
        return RevisionError(f"the worker of {self.name} has ended: see above")


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree at root, and the environment in which its code runs on its database."""

    name: str
    root: Path
    environment: Mapping[str, str]

    @contextmanager
    def worker(self) -> Iterator[Worker]:
        """A new process that calls this tree's API."""
        with subprocess.Popen(
            [*PYTHON, worker.__file__],
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield Worker(self.name, process)
            finally:
                process.terminate()


def migrated(name: str, root: Path, server_url: str, database: str) -> Tree:
    """The tree at root on a new database of the server, made by its own migrations. Raises RevisionError."""
    with psycopg.connect(server_url, autocommit=True) as conn:
        conn.execute(SQL("CREATE DATABASE {}").format(Identifier(database)))
    url = server_url.replace("/postgres?", f"/{database}?")
    environment = {
        **os.environ,
        "DATABASE_URL": url,
        "DATABASE_URL_UNPOOLED": url,
        "API_KEYS": "",
        "PYTHONPATH": str(root),
    }
    command = [*PYTHON, "-m", "scripts.migrate", "up"]
    if subprocess.run(command, cwd=root, env=environment, stdout=subprocess.DEVNULL, check=False).returncode:
        raise RevisionError(f"the migrations of {name} failed: see above")
    return Tree(name, root, environment)

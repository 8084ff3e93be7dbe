"""Serves the API on this machine: `make dev`. Starts an embedded PostgreSQL unless DATABASE_URL names another."""

import argparse
import asyncio
import contextlib
import errno
import io
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TextIO

import uvicorn
from dotenv import load_dotenv

from lib.config import settings
from lib.errors import NotConfigured
from scripts import migrate
from scripts.stack.postgres import PostgresError, embedded
from scripts.stack.router import ROOT, Router
from scripts.stack.vercel.config import ConfigError

DATA = ROOT / ".postgres"
DEFAULT_PORT = "3000"
MAX_PORT = 65535

WELCOME = """
Kata Context is serving on {url} ({database}). Ctrl-C stops it. See what a model would be sent, and why:

  {url}/playground

Every call is in {url}/docs. Or try:

  curl -s {url}/api/health
  curl -s {url}/api/v1/contexts -H 'Content-Type: application/json' -d '{{"name": "first"}}'
"""


class DevError(Exception):
    """The server could not start; the text says why."""


class Interrupted(KeyboardInterrupt):
    """A signal asks the server to stop.

    Not KeyboardInterrupt itself: where that ends the exec() of a text, by which each dataclass is made, Python's exit
    status is the signal's, although it was caught.
    """


def listening_socket(port: int) -> socket.socket:
    """A socket that listens on port of this machine only. Raises DevError where it may not."""
    # Named, the protocol lets asyncio turn Nagle's algorithm off, which holds up an answer in two pieces for 44 ms.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(("127.0.0.1", port))
        sock.listen(128)
    except OSError as error:
        sock.close()
        reason = "is in use; stop what uses it or" if error.errno == errno.EADDRINUSE else f"cannot be had ({error});"
        raise DevError(f"could not listen: port {port} {reason} set PORT to another") from None
    return sock


@contextmanager
def database() -> Iterator[str]:
    """Names the database; DATABASE_URL points at it while inside, with all migrations applied."""
    with contextlib.ExitStack() as stack:
        if os.environ.get("DATABASE_URL"):
            name = "the database of DATABASE_URL"
            direct = migrate.database_url(os.environ)
        else:
            name = f"an embedded PostgreSQL with its data in {DATA.name}/"
            print("Starting the embedded PostgreSQL …", flush=True)
            os.environ["DATABASE_URL"] = direct = stack.enter_context(embedded(DATA))
        for migration, _ in migrate.up(direct):
            print(f"Applied migration {migration.name}", flush=True)
        yield name


def readable(line: str) -> str:
    """A line of the log for people; any other line as it is."""
    try:
        entry = json.loads(line)
        time = datetime.fromisoformat(entry["time"]).astimezone().strftime("%H:%M:%S")
        if "message" in entry:
            text = f"{entry['level']}: {entry['message']}"
        else:
            route = entry["route"] or "(no such path)"
            text = f"{entry['method']} {route} {entry['status']} {entry['ms']:.1f} ms (db {entry['dbMs']:.1f})"
    except (ValueError, TypeError, LookupError):
        return line
    words = [time, text, *(str(entry[name]) for name in ("code", "failure") if entry.get(name))]
    # A client's bytes must not steer the terminal.
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in " ".join(words))


class RequestLines(io.TextIOBase):
    """Standard output whose log lines are for people."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._rest = ""

    def write(self, text: str) -> int:
        """Passes complete lines on."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._out.write(readable(line) + "\n")
        return len(text)

    def flush(self) -> None:
        """Lets them be seen."""
        self._out.flush()


def serve(sock: socket.socket, banner: str) -> None:
    """Serves until SIGINT or SIGTERM."""
    config = uvicorn.Config(Router(), log_level="warning", access_log=False, lifespan="on", timeout_graceful_shutdown=3)
    server = uvicorn.Server(config)
    print(banner, flush=True)
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.suppress(KeyboardInterrupt))
        if sys.stdout.isatty():
            stack.enter_context(contextlib.redirect_stdout(RequestLines(sys.stdout)))
        asyncio.run(server.serve(sockets=[sock]))


def stop_on_signals() -> None:
    """Makes signals raise Interrupted: unhandled, they end the process and leave the embedded PostgreSQL behind."""

    def interrupt(*_: object) -> None:
        raise Interrupted

    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))  # which uvicorn handles too


def port_number(text: str) -> int:
    """The port that text names. Raises DevError."""
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) <= MAX_PORT):
        raise DevError(f"cannot use PORT={text}: it must be a number from 1 to {MAX_PORT}")
    return int(text)


def main(arguments: list[str] | None = None) -> int:
    """The command. Returns the exit status."""
    described = "Serves the API on this machine. PORT, DATABASE_URL and the other settings come from the environment."
    argparse.ArgumentParser(prog="python -m scripts.dev", description=described).parse_args(arguments)
    load_dotenv(ROOT / ".env")
    stop_on_signals()
    try:
        port = port_number(os.environ.get("PORT") or DEFAULT_PORT)
        with listening_socket(port) as sock, database() as name:
            settings()
            serve(sock, WELCOME.format(url=f"http://127.0.0.1:{port}", database=name))
    except (ConfigError, DevError, PostgresError, NotConfigured, migrate.MigrationError) as error:
        print(f"dev: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    print("Stopped.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

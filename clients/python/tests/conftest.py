"""One service behind a proxy that breaks connections, for the whole run: a context is its own world."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from kata_context import Client

ROOT = Path(__file__).parent.parent.parent.parent


@dataclass(frozen=True)
class Stack:
    """What clients/stack.py serves: `url` is the service's, `proxy` the proxy's."""

    url: str
    proxy: str

    def faults(self, *faults: Any) -> None:
        """What befalls the next requests through the proxy, one each."""
        httpx2.post(f"{self.proxy}/_stack/faults", json=faults).raise_for_status()

    def seen(self) -> list[dict[str, Any]]:
        """The requests through the proxy since then."""
        seen: list[dict[str, Any]] = httpx2.get(f"{self.proxy}/_stack/seen").raise_for_status().json()
        return seen

    def kill(self, seconds: float) -> None:
        """SIGKILL for the service, which starts again after seconds; requests through the proxy fail until then."""
        httpx2.post(f"{self.proxy}/_stack/kill", json={"seconds": seconds}).raise_for_status()


@pytest.fixture(scope="session")
def running() -> Iterator[Stack]:
    """The stack, on an empty database of its own."""
    command = [str(ROOT / ".venv/bin/python"), "-m", "clients.stack"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        yield Stack(**json.loads(process.stdout.readline()))
        process.stdin.close()
        process.wait()


@pytest.fixture
def stack(running: Stack) -> Stack:
    """The stack, with no fault left over from the test before."""
    running.faults()
    return running


@pytest.fixture
def kata(stack: Stack) -> Iterator[Client]:
    """A client of the service itself, past the proxy."""
    with Client(stack.url) as client:
        yield client


@pytest.fixture
def context_id(kata: Client) -> str:
    """A new, empty context."""
    return kata.create_context()["id"]


@pytest.fixture
def unique() -> str:
    """A text that no other test has."""
    return uuid4().hex

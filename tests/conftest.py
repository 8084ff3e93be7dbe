"""One PostgreSQL and one server for the whole run: a context is its own world, so tests share them.

`--url` runs the tests of tests/api against a server that is up already; TEST_DATABASE_URL names its database,
TEST_API_KEY a key that it takes.
`--pgbouncer` puts a real PgBouncer between the server and PostgreSQL; with `--url` it only says that there is one.
"""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import httpx
import psycopg
import pytest
import uvicorn

from lib import config, db
from lib.config import Variable
from scripts import migrate
from scripts.dev import listening_socket
from scripts.stack import postgres
from scripts.stack.pgbouncer import PgBouncerError, pgbouncer, program
from scripts.stack.router import Router
from tests.formats import ai_sdk_node
from tests.pages import chromium

# What needs a program that pip cannot install. It is left out where that is missing, and said so; CI has it all.
NEEDS = {
    "pooler": "pgbouncer (apt-get or brew install it)",
    "formats/node": "node and npm",
    "examples/node": "node and npm",
    "pages": "chromium, node and npm",
}
collect_ignore = []
try:
    program()
except PgBouncerError:
    collect_ignore.append("pooler")
if ai_sdk_node.missing():
    collect_ignore += ["formats/node", "examples/node", "pages"]
elif not chromium.program():
    collect_ignore.append("pages")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--url", help="test the server at this URL instead of one in this process")
    parser.addoption("--screenshots", action="store_true", help="take the documents' pictures of the pages anew")
    parser.addoption("--pgbouncer", action="store_true", help="let the server use the database through PgBouncer")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for folder in collect_ignore:
        terminalreporter.write_line(f"left out: tests/{folder}, which needs {NEEDS[folder]}")


@pytest.fixture(scope="session")
def database_url() -> Iterator[str]:
    """A migrated database."""
    with ExitStack() as stack:
        url = os.environ.get("TEST_DATABASE_URL") or stack.enter_context(postgres.temporary())
        list(migrate.up(url))
        yield url


@pytest.fixture(scope="session")
def url(request: pytest.FixtureRequest, database_url: str) -> Iterator[str]:
    """The URL of a server on that database."""
    if url := request.config.getoption("--url"):
        yield url
        return
    os.environ["DATABASE_URL"] = database_url
    with ExitStack() as stack:
        if request.config.getoption("--pgbouncer"):
            os.environ["DATABASE_URL"] = stack.enter_context(pgbouncer(database_url)).url
        sock = stack.enter_context(listening_socket(0))
        server = uvicorn.Server(
            uvicorn.Config(Router(), http="h11", log_level="warning", access_log=False, lifespan="on")
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="session")
def api(url: str) -> Iterator[httpx.Client]:
    """A client of the server."""
    key = os.environ.get("TEST_API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    limits = httpx.Limits(max_connections=100)
    with httpx.Client(base_url=url, headers=headers, timeout=60, limits=limits) as client:
        yield client


@pytest.fixture
def context_id(api: httpx.Client) -> str:
    """A new, empty context."""
    answer = api.post("/api/v1/contexts", json={})
    assert answer.status_code == 201, answer.text
    context_id: str = answer.json()["data"]["id"]
    return context_id


@pytest.fixture(scope="session")
def database(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection of the test's own, past the API."""
    with psycopg.connect(database_url, autocommit=True) as conn:
        yield conn


type Connect = Callable[[], Any]


@pytest.fixture
def connect(database_url: str) -> Connect:
    """Opens connections as the pool's are: asynchronous, in autocommit."""

    @asynccontextmanager
    async def connect() -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as conn:
            yield conn

    return connect


@pytest.fixture(scope="session")
def run() -> Callable[[Awaitable[Any]], Any]:
    """Runs a coroutine to its end."""

    async def main[T](awaitable: Awaitable[T]) -> T:
        return await awaitable

    return lambda awaitable: asyncio.run(main(awaitable))


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Gives this test a pool of its own, for the given environment and no other."""
    monkeypatch.setattr(db, "_pool", None)
    for variable in (*config.VARIABLES, Variable("VERCEL", "", "")):
        monkeypatch.delenv(variable.name, raising=False)

    def configure(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        config.settings.cache_clear()

    yield configure
    monkeypatch.undo()
    config.settings.cache_clear()

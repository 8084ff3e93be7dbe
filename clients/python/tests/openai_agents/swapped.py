"""A plugin of pytest for the SDK's own tests: their sessions, in SQLite and in memory, are sessions of Kata Context.

Run by test_their_tests.py in a process of its own, as their package of tests is called as ours is. Two sessions of one
id are one where theirs are: in one file.
"""

import asyncio
import hashlib
import threading
from collections.abc import Awaitable
from importlib import import_module
from typing import Any
from uuid import uuid4

import agents
import agents.memory
import agents.memory.sqlite_session
import pytest

from kata_context import AsyncClient
from kata_context.openai_agents import KataSession

RUN = uuid4().hex


class Apart(AsyncClient):
    """A client in whose world no session was before."""

    def __init__(self, *place: str) -> None:
        super().__init__()
        self._place = hashlib.sha256(repr((RUN, *place)).encode()).hexdigest()

    async def create_context(self, *, external_id: str, **arguments: Any) -> Any:  # type: ignore[override]  # as used
        return await super().create_context(external_id=f"{self._place} {external_id}", **arguments)

    async def append(self, *given: Any, **arguments: Any) -> Any:
        named = arguments.pop("expected_external_id")
        return await super().append(*given, expected_external_id=named and f"{self._place} {named}", **arguments)


class InFile(KataSession):
    """In place of SQLiteSession."""

    def __init__(self, session_id: str, db_path: object = ":memory:", session_settings: Any = None) -> None:
        place = uuid4().hex if db_path == ":memory:" else str(db_path)
        super().__init__(session_id, Apart(place), session_settings=session_settings)

    def close(self) -> None:
        """Theirs has a file to close."""


class InMemory(KataSession):
    """In place of SimpleListSession, which can be looked into."""

    def __init__(self, session_id: str = "test", history: Any = None) -> None:
        super().__init__(session_id, Apart(uuid4().hex))
        self._ignore_ids_for_matching = False
        if history:
            _done(KataSession.add_items(self, history))

    @property
    def saved_items(self) -> Any:
        return _done(KataSession.get_items(self))

    _items = saved_items


def _done(awaitable: Awaitable[Any]) -> Any:
    """What it comes to, where nothing can be awaited."""
    results: list[Any] = []

    async def run() -> None:
        results.append(await awaitable)

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    thread.join()
    return results[0]


for module in (agents, agents.memory, agents.memory.sqlite_session):
    module.SQLiteSession = InFile  # type: ignore[attr-defined]  # what is swapped


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart() -> None:
    """Before their tests are collected, and after their folder can be imported from."""
    simple_session: Any = import_module("tests.utils.simple_session")

    simple_session.SimpleListSession = InMemory

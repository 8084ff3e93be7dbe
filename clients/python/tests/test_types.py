"""The types are those of the service's OpenAPI document, and each operation of it has a method."""

import asyncio
import re
from inspect import signature

from generate import OPENAPI, TYPES, generated
from kata_context import AsyncClient, Client, _requests, types

# What the clients call otherwise than the document does.
NAMES = {
    "list_contexts": "contexts",
    "append_messages": "append",
    "list_messages": "messages",
    "get_window": "window",
    "make_compaction": "compact",
    "list_compactions": "compactions",
    "fork_context": "fork",
    "list_forks": "forks",
    "get_health": "health",
}


def test_the_types_are_fresh() -> None:
    assert TYPES.read_text() == generated()


def test_each_operation_has_a_method_in_both_clients() -> None:
    operations = [snake(name) for name in re.findall('"operationId": "([^"]+)"', OPENAPI.read_text())]
    names = {NAMES.get(name, name) for name in operations}

    for client in (Client, AsyncClient):
        public = {name for name in dir(client) if not name.startswith("_")}
        assert public - {"close"} == names


def test_the_clients_calls_have_the_docstrings_and_arguments_of_the_requests() -> None:
    assert Client.window.__doc__ == AsyncClient.window.__doc__ == _requests.window.__doc__
    assert list(signature(Client("http://x").get_compaction).parameters) == ["context_id", "number"]


def test_a_call_to_be_awaited_is_a_coroutine() -> None:
    """Which asyncio wants; it is for the type checker to say, before this runs."""

    async def ask() -> None:
        async with AsyncClient("http://127.0.0.1:1", max_retries=0) as client, asyncio.TaskGroup() as group:
            asked = group.create_task(client.window("x"))
            asked.cancel()

    asyncio.run(ask())


def test_parts_of_messages_have_the_members_of_their_provider() -> None:
    """Which is for the type checker to say, before this runs."""
    part: types.Part = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    message: types.NewMessage = {"role": "user", "content": [part]}

    assert message["content"] == [part]


def snake(name: str) -> str:
    return re.sub("([A-Z])", r"_\1", name).lower()

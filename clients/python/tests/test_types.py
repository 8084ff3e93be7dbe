"""The types are those of the service's OpenAPI document, and each operation of it has a method."""

import re

from generate import OPENAPI, TYPES, generated
from kata_context import AsyncClient, Client, _requests

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
        public = {name for name in vars(client) if not name.startswith("_")}
        assert public - {"close"} == names


def test_the_clients_calls_have_the_docstrings_and_arguments_of_the_requests() -> None:
    assert Client.window.__doc__ == AsyncClient.window.__doc__ == _requests.window.__doc__


def snake(name: str) -> str:
    return re.sub("([A-Z])", r"_\1", name).lower()

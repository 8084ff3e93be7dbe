"""Every case of clients/cases.json, which has its own description beside it, through both clients."""

import asyncio
import json
import re
from itertools import pairwise
from typing import Any

import pytest

from kata_context import AsyncClient, Client, KataError
from kata_context.types import TaggedContext
from tests.conftest import ROOT, Stack

CASES: list[dict[str, Any]] = json.loads((ROOT / "clients/cases.json").read_text())
LISTS = {"contexts", "messages", "forks", "compactions"}
WITHOUT_ID = {"createContext", "contexts", "health"}


def snake(name: str) -> str:
    return re.sub("([A-Z])", r"_\1", name).lower()


def filled(value: Any, texts: dict[str, str]) -> Any:
    """The value of a case with its texts and lists in place."""
    match value:
        case list():
            return [filled(item, texts) for item in value]
        case {"many": many, "each": each}:
            return [each] * many
        case {"many": many}:
            return [{"role": "user", "content": "x" * value.get("bytes", 1)}] * many
        case {"turns": turns, "tools": tools}:
            ids = [f"call_{number}" for number in range(tools)]
            calls = [{"id": it, "type": "function", "function": {"name": "f", "arguments": "{}"}} for it in ids]
            results = [{"role": "tool", "toolCallId": it, "content": "4"} for it in ids]
            return [{"role": "user", "content": "Hi"}, {"role": "assistant", "toolCalls": calls}, *results] * turns
        case dict():
            return {name: filled(item, texts) for name, item in value.items()}
    return texts.get(value, value) if isinstance(value, str) else value


def options(case: dict[str, Any]) -> dict[str, Any]:
    client = case.get("client", {})
    given = {"max_retries": client.get("maxRetries"), "timeout": client.get("timeoutMs", 30_000) / 1000}
    return {name: value for name, value in given.items() if value is not None}


async def awaited(proxy: str, case: dict[str, Any], args: list[Any], arguments: dict[str, Any]) -> Any:
    async with AsyncClient(proxy, **options(case)) as client:
        called = getattr(client, snake(case["call"]))(*args, **arguments)
        return [item async for item in called] if case["call"] in LISTS else await called


def called(kind: str, proxy: str, case: dict[str, Any], args: list[Any], arguments: dict[str, Any]) -> Any:
    if kind == "AsyncClient":
        return asyncio.run(awaited(proxy, case, args, arguments))
    with Client(proxy, **options(case)) as client:
        result = getattr(client, snake(case["call"]))(*args, **arguments)
        return list(result) if case["call"] in LISTS else result


def subset(expected: Any, actual: Any) -> Any:
    """What of actual is compared with expected: the members that expected names."""
    if isinstance(expected, int) and isinstance(actual, list):
        return len(actual)
    if isinstance(expected, dict) and isinstance(actual, dict) and expected:
        return {name: subset(value, actual.get(name)) for name, value in expected.items()}
    return actual


def afterwards(kata: Client, context: TaggedContext, unique: str, sent: list[Any]) -> dict[str, Any]:
    """What the context has when the call is over, by the members of expect."""
    stored = list(kata.messages(context["id"], limit=1000))
    after = kata.get_context(context["id"])
    return {
        "messages": after["messageCount"],
        "tokens": after["totalTokens"],
        "metadata": after["metadata"],
        "contexts": len(list(kata.contexts(metadata={"case": unique}))),
        "forks": len(list(kata.forks(context["id"]))),
        "compactions": len(list(kata.compactions(context["id"]))),
        "ends": next((one["version"] for one, two in pairwise(stored) if one["createdAt"] < two["createdAt"]), None),
        "equal": stored == [{**message, **new} for message, new in zip(stored, sent, strict=False)],
    }


@pytest.mark.parametrize("kind", ["Client", "AsyncClient"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_case(case: dict[str, Any], kind: str, stack: Stack, kata: Client, unique: str) -> None:
    context = kata.create_context()
    if case.get("given"):
        kata.append(context["id"], [{"role": "user", "content": "Hi"}] * case["given"])
        context = kata.get_context(context["id"])
    texts = {"<unique>": unique, "<context>": context["id"], "<etag>": context["etag"]}
    sent = [filled(value, texts) for value in case.get("positional", [])]
    where = [] if case["call"] in WITHOUT_ID else [case.get("context", context["id"])]
    arguments = {snake(name): filled(value, texts) for name, value in case.get("arguments", {}).items()}
    expect = filled(case["expect"], texts)
    stack.faults(*case.get("faults", []))
    result, error = None, None
    try:
        result = called(kind, stack.proxy, case, [*where, *sent], arguments)
    except (KataError, ValueError, TypeError) as raised:
        error = raised
    seen = stack.seen()
    keys = list(dict.fromkeys(request["key"] for request in seen))
    found = {
        "class": type(error).__name__,
        "members": {name: getattr(error, snake(name), None) for name in expect.get("members", {})},
        "requests": len(seen),
        "keys": keys if isinstance(expect.get("keys"), list) else len(keys),
        "result": subset(expect.get("result"), result),
    }
    if expect.keys() - found.keys() - {"error", "refused"}:
        found |= afterwards(kata, context, unique, sent[0] if case["call"] == "append" else [])

    if isinstance(error, ValueError | TypeError):
        assert expect.pop("refused", False), error
    else:
        assert getattr(error, "code", None) == expect.pop("error", None), error
    assert {name: found[name] for name in expect} == expect

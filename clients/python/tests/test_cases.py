"""Every case of clients/cases.json, which has its own description beside it, through both clients."""

import asyncio
import json
import re
from typing import Any

import pytest

from kata_context import AsyncClient, Client, KataError
from tests.conftest import ROOT, Stack

CASES: list[dict[str, Any]] = json.loads((ROOT / "clients/cases.json").read_text())
LISTS = {"contexts", "messages", "forks", "compactions"}
WITHOUT_ID = {"createContext", "contexts", "health"}


def snake(name: str) -> str:
    return re.sub("([A-Z])", r"_\1", name).lower()


def filled(value: Any, texts: dict[str, str]) -> Any:
    """The value of a case with its texts and lists in place."""
    if isinstance(value, str):
        return texts.get(value, value)
    if isinstance(value, list):
        return [filled(item, texts) for item in value]
    if not isinstance(value, dict):
        return value
    if "each" in value:
        return [value["each"]] * value["many"]
    if "many" in value:
        return [{"role": "user", "content": "x" * value.get("bytes", 1)} for _ in range(value["many"])]
    if "turns" in value:
        ids = [f"call_{number}" for number in range(value["tools"])]
        calls = [{"id": it, "type": "function", "function": {"name": "f", "arguments": "{}"}} for it in ids]
        results = [{"role": "tool", "toolCallId": it, "content": "4"} for it in ids]
        turn = [{"role": "user", "content": "Hi"}, {"role": "assistant", "toolCalls": calls}, *results]
        return turn * value["turns"]
    return {name: filled(item, texts) for name, item in value.items()}


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


@pytest.mark.parametrize("kind", ["Client", "AsyncClient"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_case(case: dict[str, Any], kind: str, stack: Stack, kata: Client, unique: str) -> None:
    context = kata.create_context()
    if case.get("given"):
        kata.append(context["id"], [{"role": "user", "content": "Hi"}] * case["given"])
        context = kata.get_context(context["id"])
    texts = {"<unique>": unique, "<context>": context["id"], "<etag>": context["etag"]}
    args = [filled(value, texts) for value in case.get("positional", [])]
    if case["call"] not in WITHOUT_ID:
        args.insert(0, case.get("context", context["id"]))
    arguments = {snake(name): filled(value, texts) for name, value in case.get("arguments", {}).items()}
    expect = filled(case["expect"], texts)
    stack.faults(*case.get("faults", []))
    result, error, refusal = None, None, None
    try:
        result = called(kind, stack.proxy, case, args, arguments)
    except KataError as raised:
        error = raised
    except ValueError as raised:
        refusal = raised
    seen = stack.seen()
    kata_context = kata.get_context(context["id"]) if case["call"] != "deleteContext" else None
    stored = list(kata.messages(context["id"], limit=1000)) if kata_context else []
    keys = list(dict.fromkeys(request["key"] for request in seen))
    members = {snake(name): value for name, value in expect.get("members", {}).items()}
    found: dict[str, Any] = {
        "error": getattr(error, "code", None),
        "class": type(error).__name__,
        "members": {name: getattr(error, snake(name), None) for name in expect.get("members", {})},
        "refused": refusal is not None,
        "requests": len(seen),
        "keys": keys if isinstance(expect.get("keys"), list) else len(keys),
        "result": subset(expect.get("result"), result),
        "messages": len(stored),
        "tokens": sum(message["tokenCount"] for message in stored),
        "metadata": kata_context and kata_context["metadata"],
    }
    assert members is not None
    if "error" not in expect and "refused" not in expect:
        assert (error, refusal) == (None, None)
    assert {name: found[name] for name in expect if name in found} == {k: v for k, v in expect.items() if k in found}

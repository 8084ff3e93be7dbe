"""An append as the requests that it takes. Nothing here does I/O."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Any
from uuid import uuid4

from kata_context._requests import Request, dump, listed, path, request
from kata_context.types import Message

# What the service takes at once: 1,000 messages and, with 400 bytes of the answer for each, 4,500,000 bytes; less here,
# as a body has other members too.
MAX_MESSAGES, MAX_BYTES, ANSWER_BYTES = 1000, 4_300_000, 400

# The service takes keys of 255 characters; each part behind the first has a number behind the key.
MAX_KEY = 240


def parts(
    context_id: str, messages: Iterable[Mapping[str, Any]], arguments: Mapping[str, Any], stored: Sequence[Message]
) -> Iterator[Request[list[Message]]]:
    """The requests of an append, each to be sent once stored has what those before it have stored.

    Those behind the first have keys made of the call's, and expect what the one before has left if the caller expects
    anything; the last has context_metadata. Raises ValueError and TypeError for what cannot be sent, before the first.
    """
    given = list(messages)
    if not all(isinstance(message, Mapping) for message in given):
        raise TypeError("messages are a list of dicts")
    texts = [dump(message) for message in given]
    members = {**arguments}
    given_key = members.pop("idempotency_key", None)
    key = str(uuid4() if given_key is None else given_key)
    last = {name: members.pop(name) for name in ("context_metadata",) if name in members}
    counts = members.pop("token_counts", None)
    ends = [0, *cuts(given, texts, members), len(given)]
    if len(ends) > 2 and len(key) > MAX_KEY:
        raise ValueError(f"more messages than one append takes need a key of at most {MAX_KEY} characters")
    if counts is not None and len(counts) != len(given):
        raise ValueError("token_counts has one for each message")
    for start, end in pairwise(ends):
        if start and (members.pop("if_match", None) is not None or members.get("expected_version") is not None):
            members["expected_version"] = stored[-1]["version"]
        own: dict[str, Any] = {"idempotency_key": f"{key}.{start}" if start else key}
        if counts is not None:
            own["token_counts"] = counts[start:end]
        body = {**members, **own, **(last if end == len(given) else {})}
        text = f"[{','.join(texts[start:end])}]"
        yield replace(request("POST", path(context_id, "messages"), listed, body, texts={"messages": text}), key=key)


def cuts(given: Sequence[Mapping[str, Any]], texts: Sequence[str], members: Mapping[str, Any]) -> Iterator[int]:
    """Where parts start: before the last turn of a user that begins in one, so that a turn stays whole, if it can."""
    each = ANSWER_BYTES + len(dump([members.get(name) for name in ("metadata", "model")]).encode())
    counts = [_most(message) if members.get("format", "kata") != "kata" else 1 for message in given]
    sizes = [len(text.encode()) + count * each for text, count in zip(texts, counts, strict=True)]
    many, much = [0, *accumulate(counts)], [0, *accumulate(sizes)]
    start = turn = 0
    for end, message in enumerate(given):
        if _begins_turn(message):
            turn = end
        while end > start and (many[end + 1] - many[start] > MAX_MESSAGES or much[end + 1] - much[start] > MAX_BYTES):
            start = turn if turn > start else end
            yield start


def _blocks(message: Mapping[str, Any]) -> Sequence[Any]:
    blocks = message.get("content") or message.get("parts")
    return blocks if isinstance(blocks, list) else ()


def _most(message: Mapping[str, Any]) -> int:
    """How many messages may come of a provider's one: a call and a result of each block, and one for the rest."""
    return 1 + 2 * len(_blocks(message))


def _begins_turn(message: Mapping[str, Any]) -> bool:
    """Whether it is said by a user, and is no result of a tool."""
    return message.get("role") == "user" and not any(
        isinstance(block, Mapping)
        and (
            block.get("type") == "tool_result" or not block.keys().isdisjoint({"functionResponse", "function_response"})
        )
        for block in _blocks(message)
    )

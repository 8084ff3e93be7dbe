"""A session of OpenAI's Agents SDK: items come back equal, windows in a budget are valid, any number may write at once.

    session = KataSession("ticket-2077", budget=8000)
    await Runner.run(agent, "Where is my order 1042?", session=session)

How a session is stored, which other languages read as well:

* The session's id is the externalId of a context. Items are appended as they are, with `format=openai-responses`, and
  read by `include=native`; where native is null, the format makes an equal item of the message. The items of one answer
  of a model are one message, so windows part neither reasoning from its call nor a call from its result. With one
  message for each item instead, windows, compactions and other providers would not know what belongs together.
* An item that the service does not take, an item_reference for one, is `{"type": "opaque", "json": its JSON text}`.
* What is taken back, a fork leaves out that takes the externalId with it. A fork does not notice an append that comes
  between the look and itself, so the context is sealed first: an empty message is appended, with expectedVersion, and
  with it `metadata["openai-agents"] = {"at", "to", "items", "key"}`. From then on what was said is the messages up to
  version `to` and the first `items` items of the one behind; what is appended behind the seal, version `at`, counts
  for nothing, and is appended once more to the fork. The seal alone decides, so 20 who pop get 20 items.
* A seal may be items that take the place of those: the first `with` from version `at` on. JavaScript's are, at times.
* Whoever finds a sealed context goes on for the one who sealed it: forks it at `to`, moving the externalId; where items
  are to come behind, the fork's `metadata["openai-agents"]` is the seal's, with `from` and `sealed` for where and `at`,
  until they were appended to it, with `key` as Idempotency-Key. So is that of a fork at 0, to which all items are
  copied once a lineage would have more than 256 ancestors.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from itertools import pairwise
from typing import Any, Literal, TypeAlias, cast
from uuid import uuid4

from agents import SessionSettings, TResponseInputItem

from kata_context import AsyncClient
from kata_context._appends import _cuts as cuts
from kata_context._client import AsyncPages
from kata_context._requests import dump
from kata_context.errors import (
    ExternalIdMissing,
    ForkTooDeep,
    IdempotencyKeyReused,
    InvalidRequest,
    KataError,
    PayloadTooLarge,
    VersionConflict,
)
from kata_context.types import Context, Message, NewMessage, Policy

MARK = "openai-agents"
FORMAT: Literal["openai-responses"] = "openai-responses"
OPAQUE = "opaque"

# Says that something is taken back; never in a window, nor in a history.
SEAL: NewMessage = {"role": "assistant", "content": ""}

# Messages of a page; in bytes the service sees to it.
PAGE = 1000

# One who opens a session goes so many steps for others at most: more than any number of them seal meanwhile.
STEPS = 1000

Item: TypeAlias = dict[str, Any]


@cache
def _client() -> AsyncClient:
    """For sessions that are given none."""
    return AsyncClient()


class KataSession:
    """A conversation that Kata Context keeps; for `Runner.run(…, session=…)`. Calls raise KataError."""

    def __init__(
        self,
        session_id: str,
        client: AsyncClient | None = None,
        *,
        budget: int | None = None,
        policy: Policy | None = None,
        session_settings: SessionSettings | dict[str, Any] | None = None,
    ) -> None:
        """Opens or begins the conversation of this id, 1 to 255 characters, with the first call.

        budget is in tokens, of what runs begin with; a policy says more about it, and is of a conversation that begins:
        another keeps its own. With neither, and none stored, runs begin with all items. client is one for all sessions
        that are given none, with what the environment says.
        """
        self.session_id = session_id
        self.session_settings: SessionSettings | None = SessionSettings().resolve(session_settings)
        self._client = client or _client()
        self._budget = budget
        self._policy = policy
        if policy is None and budget is not None:
            self._policy = {"budget": budget, "keepPreamble": True, "startOn": "user", "step": budget // 4}

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """The newest items, oldest first: exactly limit or all there are; without a limit those of the window.

        The window is the service's, of whole units, and mended where a model would refuse it. Where neither the session
        nor its context has a budget, all items.
        """
        if limit is None and self.session_settings:
            limit = self.session_settings.limit
        if limit is not None and limit <= 0:
            return []
        context = await self._open()
        budget = self._budget or context["policy"].get("budget")
        if limit is None and budget and context["latestVersion"]:
            return await self._window(context, budget)
        items: list[Item] = []
        if context["latestVersion"]:
            async for message in self._newest(context, limit or PAGE):
                items += reversed(_items(message))
                if limit is not None and len(items) >= limit:
                    break
        return [_read(item) for item in items[:limit]][::-1]

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Appends items, all or none of them, but for more than 1,000 messages or 4,300,000 bytes: those in parts."""
        given = [_sendable(item) for item in items]
        ends = cuts(given, [dump(item) for item in given], {"format": FORMAT})
        for start, end in pairwise([0, *ends, len(given)] if given else []):
            await self._add(given[start:end])

    async def pop_item(self) -> TResponseInputItem | None:
        """Takes the newest item back, and answers it; None where there is none."""
        while True:
            context = await self._open()
            async for message in self._newest(context, 1):
                if items := _items(message):
                    break
            else:
                return None
            with suppress(VersionConflict):  # somebody was faster: look again
                await self._rewind(context, message["version"] - 1, len(items) - 1)
                return _read(items[-1])

    async def clear_session(self) -> None:
        """Takes all items back. The service keeps them, in contexts that the session's id does not name any more."""
        while (context := await self._open())["latestVersion"]:
            with suppress(VersionConflict):
                await self._rewind(context, 0, 0)
                return

    async def _open(self) -> Context:
        """The context that the session's id names now, once it is neither sealed nor to be filled."""
        for _ in range(STEPS):
            context = await self._client.create_context(external_id=self.session_id, policy=self._policy)
            if MARK not in context["metadata"]:
                return context
            with suppress(ExternalIdMissing, IdempotencyKeyReused):  # somebody else has gone on
                await self._go_on(context)
        raise RuntimeError(f"metadata[{MARK!r}] of the session's context comes back again and again")

    def _newest(self, context: Context, limit: int) -> AsyncPages[Message]:
        return self._client.messages(
            context["id"], order="desc", at=context["latestVersion"], include="native", limit=min(limit, PAGE)
        )

    async def _window(self, context: Context, budget: int) -> list[TResponseInputItem]:
        window = await self._client.window(context["id"], at=context["latestVersion"], format=FORMAT, budget=budget)
        said = window["data"].get("instructions")
        head = [{"role": "system", "content": said}] if said else []
        return [_read(item) for item in head + window["data"]["input"]]

    async def _add(self, items: list[Item]) -> None:
        """Appends what one request takes."""
        key = str(uuid4())
        while True:
            context = await self._open()
            try:
                stored = await self._client.append(context["id"], items, format=FORMAT, idempotency_key=key)
            except InvalidRequest as refused:
                items = _wrapped(items, refused)
                continue
            except PayloadTooLarge:  # for one message, which the items of one answer are
                if len(items) == 1:
                    raise
                await self._add(items[: len(items) // 2])
                items, key = items[len(items) // 2 :], str(uuid4())
                continue
            if stored[0]["version"] == context["latestVersion"] + 1:
                return
            seal = (await self._client.get_context(context["id"]))["metadata"].get(MARK)
            if not seal or stored[0]["version"] < seal["at"]:
                return

    async def _rewind(self, context: Context, to: int, items: int) -> None:
        """Keeps the messages up to a version, and so many items of the one behind. Raises VersionConflict."""
        at = context["latestVersion"] + 1
        seal = {"at": at, "to": to, "items": items, "key": str(uuid4())}
        await self._client.append(context["id"], [SEAL], expected_version=at - 1, context_metadata={MARK: seal})
        # It is done. What is left to do somebody else will do as well.
        with suppress(KataError):
            await self._go_on({**context, "metadata": {**context["metadata"], MARK: seal}})

    async def _go_on(self, context: Context) -> None:
        """Does what a context's mark says; twice, or at once with others, is as once."""
        mark = context["metadata"][MARK]
        if "at" in mark:
            try:
                context = await self._fork(context, mark["to"], fill=bool(mark["items"] or mark.get("with")))
            except ForkTooDeep:
                context = await self._fork(context, 0, fill=True)
        if MARK in context["metadata"]:
            await self._fill(context, context["metadata"][MARK])

    async def _fork(self, sealed: Context, version: int, *, fill: bool) -> Context:
        metadata = {**sealed["metadata"]}
        seal = {**metadata.pop(MARK)}
        if fill:
            metadata[MARK] = {"from": sealed["id"], "sealed": seal.pop("at"), **seal}
        return await self._client.fork(
            sealed["id"],
            version=version,
            name=sealed["name"],
            metadata=metadata,
            move_external_id=True,
        )

    async def _fill(self, context: Context, mark: dict[str, Any]) -> None:
        to, last = mark["to"], mark["to"] + (mark["items"] > 0)
        items: list[Item] = []
        async for message in self._client.messages(
            mark["from"], cursor=context["forkVersion"] or 0, at=last, include="native", limit=PAGE
        ):
            items += _items(message)[: mark["items"] if message["version"] > to else None]
        end = len(items) + mark.get("with", 0)
        if end > len(items):
            behind = self._client.messages(mark["from"], cursor=mark["sealed"] - 1, include="native", limit=PAGE)
            async for message in behind:
                items += _items(message)
                if len(items) >= end:
                    break
        await self._client.append(
            context["id"], items[:end], format=FORMAT, idempotency_key=mark["key"], context_metadata={MARK: None}
        )


# --- Items, as the service takes them.


def _sendable(item: Any) -> Item:
    """An item, or how one is stored that is no JSON to everybody, or looks as if it were stored so."""
    try:
        dump(item).encode()
    except ValueError:
        return _opaque(item)
    return _opaque(item) if item.get("type") == OPAQUE else cast("Item", item)


def _opaque(item: Any) -> Item:
    return {"type": OPAQUE, "json": json.dumps(item)}


def _wrapped(items: list[Item], refused: InvalidRequest) -> list[Item]:
    """The items, of which those are opaque that the service has refused. Raises the refusal where it names none."""
    places = {str(error.get("pointer")).removeprefix("/messages/").partition("/")[0] for error in refused.errors}
    wrapped = [
        _opaque(item) if str(place) in places and item.get("type") != OPAQUE else item
        for place, item in enumerate(items)
    ]
    if wrapped == items:
        raise refused
    return wrapped


def _read(item: Item) -> TResponseInputItem:
    """An item as it was given."""
    return cast("TResponseInputItem", json.loads(item["json"]) if item.get("type") == OPAQUE else item)


def _items(message: Message) -> list[Item]:
    """The items of a message: those that were given, or what this format makes of it."""
    if message.get("nativeFormat") == FORMAT:
        return cast("list[Item]", message["native"])
    content = message["content"]
    said = [*_parts(content)] if isinstance(content, list) else content
    if message["role"] == "tool":
        return [{"type": "function_call_output", "call_id": message["toolCallId"], "output": said or ""}]
    if message["role"] != "assistant":
        return [{"role": message["role"], "content": said}]
    texts = [part["text"] for part in said if "text" in part] if isinstance(said, list) else [said]
    calls = [
        {"type": "function_call", "call_id": call["id"], **call["function"]} for call in message["toolCalls"] or ()
    ]
    return [*({"role": "assistant", "content": text} for text in texts if text), *calls]


def _parts(content: list[Any]) -> Iterator[Item]:
    """Parts of the service's as parts of an input; what that has no form for is left out."""
    for part in content:
        value = part.get(part["type"])
        if part["type"] == "image_url" and isinstance(value, dict):
            yield {"type": "input_image", **{"image_url" if name == "url" else name: value[name] for name in value}}
        elif part["type"] == "file" and isinstance(value, dict):
            yield {"type": "input_file", **value}
        elif isinstance(part.get("text"), str) and part["type"] != "reasoning":
            yield {"type": "input_text", "text": part["text"]}

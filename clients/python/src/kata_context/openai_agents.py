"""A session of OpenAI's Agents SDK: items come back equal, windows in a budget are valid, any number may write at once.

    session = KataSession("ticket-2077", budget=8000)
    await Runner.run(agent, "Where is my order 1042?", session=session)

How a session is stored, which other languages read as well:

* The session's id is the externalId of a context. Items are appended as they are, with `format=openai-responses`, and
  read by `include=native`; where native is null, as others have appended it, items are made of the message. The items
  of one answer of a model are one message, so windows part neither reasoning from its call nor a call from its result.
  With one message for each item instead, windows, compactions and other providers would not know what belongs together.
* An item that the service does not take, an item_reference for one, is `{"type": "opaque", "json": its JSON text}`.
* What is taken back is left out of a fork, to which the externalId moves, all in one request that is refused where
  somebody has appended meanwhile. Where items are kept of the message that is left out, or the lineage would be too
  deep, a draft is prepared, which takes the externalId once it is complete, on the same condition.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from itertools import pairwise
from typing import Any, Literal, TypeAlias, cast
from uuid import uuid4

from kata_context import AsyncClient, AsyncPages, errors
from kata_context._appends import cuts
from kata_context._requests import dump
from kata_context.types import Context, Message, Policy

try:
    from agents import SessionSettings, TResponseInputItem
except ImportError as error:  # on PyPI, agents is something else
    raise ImportError(f"{error}: pip install 'kata-context[openai-agents]'") from error

FORMAT: Literal["openai-responses"] = "openai-responses"
OPAQUE = "opaque"

# In items of JavaScript's session: what its SDK had. It is not for OpenAI.
ORIGINAL = "openai-agents-js"

# Messages of a page; in bytes the service sees to it.
PAGE = 1000

# Somebody else was faster, and nothing was changed: the session's id is looked up again.
FASTER = (errors.VersionConflict, errors.ExternalIdMissing, errors.ContextNotFound)

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
        self._context_id: str | None = None  # where the session's id led when it was looked up

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """The newest items, oldest first: exactly limit or all there are; without a limit those of the window.

        The window is the service's, of whole units, and mended where a model would refuse it. Where neither the session
        nor its context has a budget, all items.
        """
        if limit is None and self.session_settings:
            limit = self.session_settings.limit
        if limit is not None and limit <= 0:
            return []
        while True:
            context = await self._open()
            budget = self._budget or context["policy"].get("budget")
            with suppress(errors.ContextNotFound):  # deleted since
                if not context["latestVersion"]:
                    return []
                if limit is None and budget:
                    at = context["latestVersion"]
                    window = await self._client.window(context["id"], at=at, format=FORMAT, budget=budget)
                    said = window["data"].get("instructions")
                    head = [{"role": "system", "content": said}] if said else []
                    return [_read(item) for item in head + window["data"]["input"]]
                items: list[Item] = []
                async for message in self._newest(context, limit or PAGE):
                    items += reversed(_items(message))
                    if limit is not None and len(items) >= limit:
                        break
                return [_read(item) for item in items[:limit]][::-1]

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Appends items, all or none of them; more than 1,000 messages or 4.3 MB, or 2.2 MB of one answer, in parts."""
        await self._append([_stored(item) for item in items])

    async def pop_item(self) -> TResponseInputItem | None:
        """Takes the newest item back, and answers it; None where there is none."""
        while True:
            context = await self._open()
            with suppress(*FASTER):
                async for message in self._newest(context, 1):
                    if items := _items(message):
                        await self._rewind(context, message["version"] - 1, items[:-1])
                        return _read(items[-1])
                return None

    async def clear_session(self) -> None:
        """Takes all items back. The service keeps them, in contexts that the session's id does not name any more."""
        while (context := await self._open())["latestVersion"]:
            with suppress(*FASTER):
                await self._rewind(context, 0, [])
                return

    async def _open(self) -> Context:
        """The context that the session's id names now."""
        context = await self._client.create_context(external_id=self.session_id, policy=self._policy)
        self._context_id = context["id"]
        return context

    def _newest(self, context: Context, limit: int) -> AsyncPages[Message]:
        return self._client.messages(
            context["id"], order="desc", at=context["latestVersion"], include="native", limit=min(limit, PAGE)
        )

    async def _append(self, items: list[Item], draft: str | None = None) -> None:
        """Appends to the session, wherever its id leads, or to a draft for it."""
        ends = cuts(items, [dump(item) for item in items], {"format": FORMAT})
        for start, end in pairwise([0, *ends, len(items)] if items else []):
            part, key, named = items[start:end], str(uuid4()), None if draft else self.session_id
            while part:
                context_id = draft or self._context_id or (await self._open())["id"]
                try:
                    await self._client.append(
                        context_id, part, format=FORMAT, expected_external_id=named, idempotency_key=key
                    )
                    break
                except FASTER:  # not stored: the id leads to another context by now
                    if draft:
                        raise
                    self._context_id = None
                except errors.InvalidRequest as refused:
                    part = _wrapped(part, refused)
                except errors.PayloadTooLarge:  # for one message, which the items of one answer are
                    if len(part) == 1:
                        raise
                    await self._append(part[: len(part) // 2], draft)
                    part, key = part[len(part) // 2 :], str(uuid4())

    async def _rewind(self, context: Context, version: int, kept: list[Item]) -> None:
        """Makes the session's id lead to the messages up to a version and the items that are kept of the one behind.

        Raises FASTER where that is not what the context still has.
        """
        latest, name = context["latestVersion"], f"draft {uuid4()}"
        try:
            fork = await self._client.fork(
                context["id"],
                version=version,
                expected_version=latest,
                name=name if kept else context["name"],
                move_external_id=not kept,
            )
        except errors.ForkTooDeep:
            fork = await self._client.fork(context["id"], version=0, name=name)
            pages = self._client.messages(context["id"], at=version, include="native", limit=PAGE)
            kept = [item async for message in pages for item in _items(message)] + kept
        if not fork["externalId"]:
            await self._append(kept, fork["id"])
            try:
                await self._client.update_context(
                    fork["id"],
                    name=context["name"],
                    take_external_id_from={"contextId": context["id"], "expectedVersion": latest},
                )
            except (errors.VersionConflict, errors.ExternalIdMissing):
                # Or the request before did it, and its answer was lost: then it is called a draft no more.
                if (await self._client.get_context(fork["id"]))["name"] == name:
                    await self._client.delete_context(fork["id"])
                    raise
        self._context_id = fork["id"]


# --- Items, as the service takes them.


def _stored(item: Any) -> Item:
    """An item, or how one is stored that is no JSON to everybody, or looks as if it were stored so."""
    try:
        dump(item).encode()
    except ValueError:
        return _opaque(item)
    plain = isinstance(item, dict) and item.get("type") != OPAQUE and ORIGINAL not in item
    return cast("Item", item) if plain else _opaque(item)


def _opaque(item: Any) -> Item:
    return {"type": OPAQUE, "json": json.dumps(item)}


def _wrapped(items: list[Item], refused: errors.InvalidRequest) -> list[Item]:
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
    if item.get("type") == OPAQUE:
        with suppress(LookupError, TypeError, ValueError):  # else it is somebody else's
            return cast("TResponseInputItem", json.loads(item["json"]))
    return cast("TResponseInputItem", {name: item[name] for name in item if name != ORIGINAL})


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
        elif isinstance(text := part.get("text", part.get("refusal")), str) and part["type"] != "reasoning":
            yield {"type": "input_text", "text": text}

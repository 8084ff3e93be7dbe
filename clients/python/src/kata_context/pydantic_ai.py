"""A conversation store of pydantic-ai, and the window of a conversation for its models.

    store = KataConversationStore(AsyncClient(), policy={"budget": 8000, "keepRequest": True})
    conversation = await store.load("ticket-2077") or Conversation(conversation_id="ticket-2077")
    result = await agent.run(prompt, conversation=conversation)
    await store.save(result)

A conversation is the context that has its id as externalId, its home. What becomes one message of theirs is one or more
of ours, with the original in their metadata, and the record is in the home's metadata under `pydanticAi`:

    conversation, scope, revision, head    the record's, to find it by
    record                                 all of it as JSON text; null where it is too large and a message has it
    context, at                            where the history up to head is: the version in that context
    closed                                 the id of a home that nothing may be appended to any more
    left                                   the head that it had, where it was closed with another

A save is one append, of messages and record, at the expected version. What goes on elsewhere than at the head (branch,
edit, regenerate) first closes the home with an append of its own, so that whoever has read it before is refused, and
then forks it, and the fork takes the id. Nothing is changed but by these, so nothing is half-stored or lost.
"""

import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from pydantic import TypeAdapter
from pydantic.config import ConfigDict
from pydantic_ai import RunContext
from pydantic_ai.capabilities import AbstractCapability, WrapRunHandler
from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
)
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter
from pydantic_ai.models import ModelRequestContext
from pydantic_ai.run import AgentRunResult

from kata_context._client import AsyncClient
from kata_context._requests import dump
from kata_context.errors import (
    ContextNotFound,
    ExternalIdMissing,
    ExternalIdTaken,
    ForkTooDeep,
    VersionConflict,
)
from kata_context.types import Context, GetWindowArguments, Message, Policy

KEY = "pydanticAi"

# Bytes of a record that go into a context's metadata; an append takes 65,536 of them with all else.
MAX_RECORD = 48_000

# How often a write begins anew because somebody else has written something that is no change of the record.
ATTEMPTS = 8

# Entries of which it is remembered in which context they are; a lookup costs one request.
MAX_REMEMBERED = 10_000

# Homes that are kept from reading a record to writing it, which saves a request.
MAX_HOMES = 100

# Closes a home. It answers no call, and so is in no window.
CLOSING = {"role": "tool", "toolCallId": KEY, "content": "", "metadata": {KEY: {}}}

# What a message is appended with again where a history is copied, besides metadata.
COPIED = {"role", "content", "toolCalls", "toolCallId", "toolName", "model", "createdAt"}

RECORDS = TypeAdapter(
    list[ConversationRecord], config=ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", defer_build=True)
)

State = Mapping[str, Any]


class KataConversationStore(ConversationStore):
    """Keeps conversations in Kata Context. Calls raise KataError where the service does not do what is asked.

    Deleting a conversation deletes its branches, too; forks of it keep what they share.
    """

    def __init__(self, client: AsyncClient | None = None, *, policy: Policy | None = None) -> None:
        """Calls the service by client; policy is that of contexts which are made here."""
        self.client = client or AsyncClient()
        self._policy = policy
        self._contexts: dict[str, str] = {}
        self._homes: dict[str, Context] = {}

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        """The record for a conversation, or None."""
        home = await self._home(conversation_id)
        if not home or "revision" not in _state(home):
            return None
        self._homes[conversation_id] = home
        while len(self._homes) > MAX_HOMES:
            del self._homes[next(iter(self._homes))]
        return await self._record(home)

    async def read_records(self, *, scope: str | None = None, limit: int | None = None) -> list[ConversationRecord]:
        """The records, newest first. Reads all of the scope's contexts, as these are listed by their creation."""
        wanted = {KEY: {"format": 1} if scope is None else {"format": 1, "scope": scope}}
        homes = [
            context
            async for context in self.client.contexts(metadata=wanted, limit=1000)
            if context["externalId"] == _state(context)["conversation"]
        ]
        homes.sort(key=lambda home: float(_state(home)["updated"]), reverse=True)
        return [await self._record(home) for home in homes[:limit]]

    async def write_record(
        self,
        record: ConversationRecord,
        *,
        new_entries: Sequence[ConversationEntry] = (),
        expected_revision: str | None,
    ) -> None:
        """Stores a record and new entries, one line that ends with its head, together or not at all."""
        entries = list(new_entries)
        if entries and [entry.id for entry in entries] != [*(e.parent_id for e in entries[1:]), record.head_id]:
            raise ValueError("new entries are one line that ends with the record's head")
        tried = False
        for _ in range(ATTEMPTS):
            home = self._homes.pop(
                record.conversation_id, None
            )  # as it was read; if it is another now, versions differ
            if not home or _state(home).get("revision") != expected_revision:
                home = await self._home(record.conversation_id)
            state = _state(home) if home else {}
            if tried and state.get("revision") == record.revision:
                return
            if state.get("revision") != expected_revision:
                break
            try:
                if home and state.get("closed") == home["id"]:  # by a write that got no further
                    await self._move(home, min(state.get("at", 0), home["latestVersion"]))
                    continue
                tried = True
                await self._write(home, record, entries)
            except (_Changed, VersionConflict, ContextNotFound, ExternalIdMissing, ExternalIdTaken):
                continue
            except LookupError:
                break
            else:
                return
        raise ConversationConflict(record.conversation_id)

    async def delete_record(self, conversation_id: str, *, expected_revision: str) -> None:
        """Deletes a conversation: its record, and all of its entries that no fork shares."""
        for _ in range(ATTEMPTS):
            home = await self._home(conversation_id)
            if not home:
                break
            with suppress(VersionConflict, ContextNotFound):
                tagged = await self.client.get_context(home["id"])
                if _state(tagged).get("revision") != expected_revision:
                    break
                left = [
                    context["id"]
                    async for context in self.client.contexts(metadata={KEY: {"conversation": conversation_id}})
                    if _state(context).get("closed") == context["id"] != home["id"]
                ]
                await self.client.delete_context(home["id"], if_match=tagged["etag"])
                for context_id in left:
                    with suppress(ContextNotFound):
                        await self.client.delete_context(context_id)
                return
        raise ConversationConflict(conversation_id)

    async def read_entry(self, entry_id: str) -> ConversationEntry:
        """An entry that this store has read or written, or that a history ends with. Raises LookupError for others."""
        return (await self.read_history(entry_id, limit=1))[0]

    async def read_history(self, head_id: str | None, *, limit: int | None = None) -> list[ConversationEntry]:
        """The entries up to head_id, or the last limit of them. Raises LookupError for what is not stored."""
        if head_id is None or limit == 0:
            return []
        _, messages = await self._line(head_id, limit=limit)
        return _entries(messages)

    async def draft(self, conversation_id: str, messages: Sequence[ModelMessage]) -> tuple[str, int]:
        """A new context without an id, and how many of the messages it has: those up to the newest stored one."""
        home = await self._home(conversation_id)
        metadata = {KEY: {"draft": conversation_id}}
        if home and (head := _state(home).get("head")):
            [entry] = await self.read_history(head, limit=1)
            known = next((n for n in range(len(messages), 0, -1) if messages[n - 1] == entry.message), 0)
            if known:
                state = _state(home)
                with suppress(ForkTooDeep):
                    draft = await self.client.fork(state["context"], version=state["at"], metadata=metadata)
                    return draft["id"], known
        policy = home["policy"] if home else self._policy
        return (await self.client.create_context(policy=policy, metadata=metadata))["id"], 0

    # --- How it is stored.

    async def _home(self, conversation_id: str) -> Context | None:
        """The context that has the conversation's id now."""
        return await anext(aiter(self.client.contexts(external_id=conversation_id)), None)

    async def _record(self, home: Context) -> ConversationRecord:
        state = _state(home)
        text = state.get("record")
        if text is None:  # too large for the context's metadata
            context_id, version = state["large"]
            page = self.client.messages(context_id, cursor=version - 1, at=version)
            [text] = [message["metadata"][KEY]["record"] async for message in page]
        [record] = RECORDS.validate_json(f"[{text}]")
        if record.head_id is not None:
            self._remember(state["context"], record.head_id)
        return record

    def _remember(self, context_id: str, *entry_ids: str) -> None:
        """Where entries are: for ever, unless the context is deleted."""
        self._contexts.update(dict.fromkeys(entry_ids, context_id))
        while len(self._contexts) > MAX_REMEMBERED:
            del self._contexts[next(iter(self._contexts))]

    async def _places(self, entry_id: str, *conversation_ids: str | None) -> AsyncIterator[str]:
        """Contexts in which an entry may be, the likely ones first."""
        seen = {"None"}
        filters = [
            {"head": entry_id},
            {"left": entry_id},
            *({"conversation": name} for name in conversation_ids if name),
        ]
        if entry_id in self._contexts:
            seen.add(self._contexts[entry_id])
            yield self._contexts[entry_id]
        for each in filters:
            async for context in self.client.contexts(metadata={KEY: each}):
                for place in (str(_state(context).get("context")), context["id"]):
                    if place not in seen:
                        seen.add(place)
                        yield place

    async def _line(
        self, entry_id: str, *conversation_ids: str | None, limit: int | None = None
    ) -> tuple[str, list[Message]]:
        """A context and its messages that are the line to an entry, or to its last limit entries."""
        async for context_id in self._places(entry_id, *conversation_ids):
            with suppress(ContextNotFound):
                if line := await self._walk(context_id, entry_id, limit):
                    self._remember(context_id, *(_own(message)["entry"] for message in line))
                    return context_id, line
        raise LookupError(entry_id)

    async def _walk(self, context_id: str, entry_id: str, limit: int | None) -> list[Message]:
        """The messages of a line, from its end to its beginning and turned; none where it is not in the context."""
        wanted: str | None = entry_id
        line: list[Message] = []
        page = 1000 if limit is None else min(1000, 2 * limit + 8)  # most entries are one or two messages
        async for message in self.client.messages(context_id, order="desc", limit=page):
            own = _own(message)
            if own.get("entry") == wanted:
                line.append(message)
                if "parent" in own:
                    wanted = own["parent"]
                    limit = None if limit is None else limit - 1
                    if wanted is None or limit == 0:
                        return line[::-1]
        return []

    async def _write(self, home: Context | None, record: ConversationRecord, entries: list[ConversationEntry]) -> None:
        parent = entries[0].parent_id if entries else record.head_id
        new = [message for entry in entries for message in _messages(entry)]
        if home and new and parent == _state(home).get("head") and _ends_at_head(home):
            await self._append(home, record, new)
            return
        place, line = "", list[Message]()
        if parent is not None:
            place, line = await self._line(parent, record.conversation_id, record.forked_from)
        if home is None:
            home, line = await self._begin(record, place, line, commit=not new)
        else:
            shared = await self._shared(home, place, line)
            version = line[shared - 1]["version"] if shared else 0
            home = await self._move(home, version, None if new or line[shared:] else record)
            line = line[shared:] if home["latestVersion"] == version else line
        if line or new:
            await self._append(home, record, [*map(_copy, line), *new])

    async def _append(self, home: Context, record: ConversationRecord, messages: list[dict[str, Any]]) -> None:
        """Commits a write that has messages."""
        version = home["latestVersion"]
        state = _stated(record, home["id"], version + len(messages))
        if state["record"] is None:
            messages[-1] = _with_record(messages[-1], record)
        await self.client.append(home["id"], messages, expected_version=version, context_metadata={KEY: state})
        self._remember(home["id"], *(message["metadata"][KEY]["entry"] for message in messages))

    async def _begin(
        self, record: ConversationRecord, place: str, line: list[Message], *, commit: bool
    ) -> tuple[Context, list[Message]]:
        """The home of a new conversation, and what it lacks of the line; commits the record if that is nothing."""
        state = _stated(record, place or None, line[-1]["version"] if line else 0)
        if commit and state["record"] is None and not line:
            raise ValueError("a conversation without messages has a record too large for a context's metadata")
        if line and not (commit and state["record"] is None):
            with suppress(ForkTooDeep):
                home = await self.client.fork(
                    place,
                    version=line[-1]["version"],
                    external_id=record.conversation_id,
                    metadata={KEY: state} if commit else {},
                )
                return home, []
        metadata = {KEY: state} if commit and not line else {}
        home = await self.client.create_context(
            external_id=record.conversation_id, metadata=metadata, policy=self._policy
        )
        if home["latestVersion"] or _state(home) != metadata.get(KEY, {}):
            raise _Changed  # there is one already
        return home, line

    async def _shared(self, home: Context, place: str, line: list[Message]) -> int:
        """How many messages of the line the home begins with."""
        if place == home["id"]:
            return next((n for n, message in enumerate(line) if message["version"] != n + 1), len(line))
        shared = 0
        if line:
            async for message in self.client.messages(home["id"], limit=1000):
                if shared == len(line) or _copy(message)["metadata"] != _copy(line[shared])["metadata"]:
                    break
                shared += 1
        return shared

    async def _move(self, home: Context, version: int, commit: ConversationRecord | None = None) -> Context:
        """Closes a home, which commits a record whose history its first version messages are, and forks it there.

        The fork has the id from then on. It has no messages where it would be too deep with them.
        """
        if _state(home).get("closed") != home["id"]:
            latest = home["latestVersion"]
            closing: dict[str, Any] = CLOSING
            state: dict[str, Any] = {"closed": home["id"]}
            if commit:
                state |= {**_stated(commit, home["id"], version), "left": _state(home).get("head")}
                if state["record"] is None:
                    state["large"], closing = [home["id"], latest + 1], _with_record(CLOSING, commit)
            await self.client.append(home["id"], [closing], expected_version=latest, context_metadata={KEY: state})
        try:
            return await self.client.fork(home["id"], version=version, move_external_id=True)
        except ForkTooDeep:
            return await self.client.fork(home["id"], version=0, move_external_id=True)


@dataclass
class KataWindow(AbstractCapability[Any]):
    """Sends a model the window of its conversation by its context's policy, and not all of the history.

        agent = Agent("openai:gpt-5.2", capabilities=[KataWindow(store, budget=8000)])

    The result's history is whole all the same. What a run says is appended to a draft, a context that shares the stored
    history and is deleted when the run ends: two requests for each of the model's. budget is in tokens, of messages
    alone, and comes before the policy's.
    """

    store: KataConversationStore
    budget: int | None = None
    _draft: str | None = field(default=None, init=False, repr=False)
    _drafted: list[ModelMessage] = field(default_factory=list, init=False, repr=False)

    async def for_run(self, ctx: RunContext[Any]) -> "KataWindow":  # noqa: ARG002 - as it is called
        """One with a draft of its own."""
        return type(self)(self.store, self.budget)

    async def wrap_run(self, ctx: RunContext[Any], *, handler: WrapRunHandler) -> AgentRunResult[Any]:  # noqa: ARG002
        """Deletes the draft, however the run ends."""
        try:
            return await handler()
        finally:
            await self._end()

    async def prepare_model_request(
        self, ctx: RunContext[Any], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        """Puts the window in the place of the messages."""
        messages = request_context.messages
        if self._draft is None or messages[: len(self._drafted)] != self._drafted:
            await self._end()
            self._draft, known = await self.store.draft(ctx.conversation_id or "", messages)
            self._drafted = messages[:known]
        entries = [ConversationEntry(parent_id=None, message=each) for each in messages[len(self._drafted) :]]
        if entries:
            await self.store.client.append(self._draft, [message for entry in entries for message in _messages(entry)])
        self._drafted = list(messages)
        arguments = GetWindowArguments() if self.budget is None else GetWindowArguments(budget=self.budget)
        window = await self.store.client.window(self._draft, **arguments)
        return replace(request_context, messages=_sent(window["data"]))

    async def _end(self) -> None:
        if self._draft is not None:
            draft, self._draft = self._draft, None
            await self.store.client.delete_context(draft)


class _Changed(Exception):
    """Somebody else has made this conversation."""


def _state(context: Context) -> State:
    state = context["metadata"].get(KEY)
    return state if isinstance(state, dict) else {}


def _ends_at_head(home: Context) -> bool:
    """Whether a home ends where the history does, so that it may go on there."""
    state, version = _state(home), home["latestVersion"]
    inherited = home["parentId"] == state.get("context") and home["forkVersion"] == version
    return version == state.get("at", 0) and (not version or inherited or home["id"] == state["context"])


def _stated(record: ConversationRecord, context_id: str | None, at: int) -> dict[str, Any]:
    """The state of a home as a merge patch."""
    text: str | None = _text_of(record)
    if len(dump(text)) > MAX_RECORD:
        text = None
    return {
        "format": 1,
        "conversation": record.conversation_id,
        "scope": record.scope,
        "revision": record.revision,
        "updated": record.updated_at.timestamp(),
        "head": record.head_id,
        "record": text,
        "large": [context_id, at] if text is None else None,
        "context": context_id,
        "at": at,
        "left": None,
    }


def _text_of(record: ConversationRecord) -> str:
    return RECORDS.dump_json([record]).decode()[1:-1]


def _with_record(message: Mapping[str, Any], record: ConversationRecord) -> dict[str, Any]:
    return {**message, "metadata": {KEY: {**message["metadata"][KEY], "record": _text_of(record)}}}


def _own(message: Message) -> dict[str, Any]:
    own = message["metadata"].get(KEY)
    return own if isinstance(own, dict) else {}


def _copy(message: Message) -> dict[str, Any]:
    """A stored message as a new one."""
    own = {name: value for name, value in _own(message).items() if name != "record"}
    copied = {name: value for name, value in message.items() if name in COPIED}
    return {**copied, "metadata": {KEY: own}}


# --- Their messages and ours.


def _messages(entry: ConversationEntry) -> list[dict[str, Any]]:
    """An entry as messages. Each has the original, or its part of it; the first has the id of the entry before it."""
    text = ModelMessagesTypeAdapter.dump_json([entry.message]).decode()[1:-1]
    original = json.loads(text)
    if original["kind"] == "response":
        pieces = [(_response(original), text)]
    else:
        groups = [list(group) for _, group in groupby(original["parts"], _role_or_id)]
        split = [{"kind": "request", "parts": group} for group in groups]
        texts = [json.dumps({**original, **split[0]}), *map(json.dumps, split[1:])] if len(split) > 1 else [text]
        pieces = [(_request(group), own) for group, own in zip(groups or [[]], texts, strict=True)]
    owns: list[dict[str, Any]] = [{"entry": entry.id, "message": own} for _, own in pieces]
    owns[0]["parent"] = entry.parent_id
    return [{**message, "metadata": {KEY: own}} for (message, _), own in zip(pieces, owns, strict=True)]


def _role_or_id(part: Mapping[str, Any]) -> tuple[str, str]:
    """Parts that follow one another and are alike in this are one message: each result is one of its own."""
    if part.get("tool_call_id"):
        return "tool", part["tool_call_id"]
    # Of what is neither said by a user nor a result, the most are remarks of the application.
    return ("user" if part["part_kind"] in ("user-prompt", "speech") else "system"), ""


def _request(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    role, call_id = _role_or_id(parts[0]) if parts else ("system", "")
    content = "\n\n".join(text for part in parts if (text := _shown(_content(part))))
    if role != "tool":
        return {"role": role, "content": content}
    return {"role": role, "toolCallId": _id(call_id), "toolName": _name(parts[0].get("tool_name")), "content": content}


def _response(message: Mapping[str, Any]) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for part in message["parts"]:
        kind = part["part_kind"]
        if kind == "tool-call":
            function = {"name": _name(part["tool_name"]), "arguments": _shown(part["args"] or "{}")}
            calls.append({"id": _id(part["tool_call_id"]), "type": "function", "function": function})
        else:
            parts.append({"type": "reasoning" if kind == "thinking" else "text", "text": _shown(_content(part))})
    content = parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts
    return {
        "role": "assistant",
        "content": content or "",
        "toolCalls": calls or None,
        "model": _name(message["model_name"]),
    }


def _content(part: Mapping[str, Any]) -> Any:
    return next((part[name] for name in ("content", "transcript", "args") if name in part), None)


def _shown(value: Any) -> str:
    """The text of a value, for counts and for readers; files are named by their type."""
    if isinstance(value, list):
        return "\n".join(map(_shown, value))
    if isinstance(value, dict) and value.get("kind") == "binary":
        return f"[{value.get('media_type')}]"
    if isinstance(value, dict) and value.get("kind") == "text-content":
        value = value["content"]
    return ("" if value is None else value if isinstance(value, str) else dump(value)).replace("\0", "\ufffd")


def _name(value: str | None) -> str | None:
    """A name as the service takes it."""
    return None if value is None else _shown(value)[:255] or "-"


def _id(value: str) -> str:
    """A call's id as the service takes it."""
    return _shown(value)[:4096] or "-"


def _joined(first: str, *others: str) -> str:
    """The JSON text of the message that these are pieces of."""
    if not others:
        return first
    whole = json.loads(first)
    whole["parts"] += [part for text in others for part in json.loads(text)["parts"]]
    return json.dumps(whole)


def _parsed(texts: Iterable[str]) -> list[ModelMessage]:
    return ModelMessagesTypeAdapter.validate_json(f"[{','.join(texts)}]")


def _sent(window: Sequence[Mapping[str, Any]]) -> list[ModelMessage]:
    """What a window has, as their messages; of some it has a part."""
    groups = groupby(window, lambda message: (message["metadata"].get(KEY) or {}).get("entry"))
    return _parsed(
        text for entry, group in groups for text in ([_joined(*map(_piece, group))] if entry else map(_summary, group))
    )


def _piece(message: Mapping[str, Any]) -> str:
    text = str(message["metadata"][KEY]["message"])
    if "cleared" not in message:
        return text
    piece = json.loads(text)
    piece["parts"] = [{**part, "content": message["content"]} for part in piece["parts"]]
    return json.dumps(piece)


def _summary(message: Mapping[str, Any]) -> str:
    kind = {"user": "user-prompt", "system": "system-prompt", "assistant": "text"}[message["role"]]
    part = {"part_kind": kind, "content": message["content"]}
    return json.dumps({"kind": "response" if kind == "text" else "request", "parts": [part]})


def _entries(line: Sequence[Message]) -> list[ConversationEntry]:
    groups = [list(group) for _, group in groupby(line, lambda message: _own(message)["entry"])]
    messages = _parsed(_joined(*(_own(message)["message"] for message in group)) for group in groups)
    owns = [_own(group[0]) for group in groups]
    return [
        ConversationEntry(id=own["entry"], parent_id=own["parent"], message=message)
        for own, message in zip(owns, messages, strict=True)
    ]

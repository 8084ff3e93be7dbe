"""A conversation store of pydantic-ai, and the window of a conversation for its models.

    store = KataConversationStore(AsyncClient(), policy={"budget": 8000, "keepRequest": True})
    conversation = await store.load("ticket-3011") or Conversation(conversation_id="ticket-3011")
    result = await agent.run(prompt, conversation=conversation)
    await store.save(result)

A conversation is the context that has its id as externalId, its home. What becomes one message of theirs is one or more
of ours, with the original in their metadata, and the record is in the home's metadata under `pydanticAi`:

    conversation, scope, revision, head    the record's, to find it by
    record                                 all of it as JSON text; null where it is too large: message `at` has it
    context, at                            where the history up to head is: the version in that context

A save that goes on at the head is one append, of messages and record. Any other takes the home back by a fork, which
takes the id: with the record where no message is to come, and else without, so that `context` and `at` name the history
in the parent until an append with the record follows. Append and fork are at the expected version of the context that
has the id, so of those who have read the same one wins, and nothing is half-stored or lost.
"""

import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, TypeVar

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
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestContext
from pydantic_ai.run import AgentRunResult

from kata_context._client import AsyncClient
from kata_context._requests import dump
from kata_context.errors import (
    ContextNotFound,
    ExternalIdMissing,
    ExternalIdTaken,
    ForkTooDeep,
    KataError,
    VersionConflict,
)
from kata_context.types import (
    Context,
    GetWindowArguments,
    ListMessagesArguments,
    Message,
    Policy,
)

T = TypeVar("T")

KEY = "pydanticAi"

# Bytes of a record that go into a context's metadata; an append takes 65,536 of them with all else.
MAX_RECORD = 48_000

# How often a write begins anew because somebody else has written something that is no change of the record.
ATTEMPTS = 8

# Entries of which it is remembered where they are, and homes that are kept from reading a record to writing it. Either
# saves a request.
MAX_REMEMBERED, MAX_HOMES = 10_000, 100

# Has a record that is too large where no other message is to come. It answers no call, and so is in no window.
CARRIER: Mapping[str, Any] = {"role": "tool", "toolCallId": KEY, "content": "", "metadata": {KEY: {}}}

# What a message is appended with again where a history is copied, besides metadata.
COPIED = {"role", "content", "toolCalls", "toolCallId", "toolName", "model", "createdAt"}

RECORDS = TypeAdapter(
    list[ConversationRecord], config=ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", defer_build=True)
)


class KataConversationStore(ConversationStore):
    """Keeps conversations in Kata Context. Calls raise KataError where the service does not do what is asked.

    Deleting a conversation deletes its branches, too; forks of it keep what they share.
    """

    def __init__(self, client: AsyncClient | None = None, *, policy: Policy | None = None) -> None:
        """Calls the service by client; policy is that of contexts which are made here."""
        self.client = client or AsyncClient()
        self.policy = policy
        self._places: dict[str, tuple[str, int]] = {}
        self._homes: dict[str, Context] = {}

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        """The record for a conversation, or None."""
        while (home := await self.home(conversation_id)) and "revision" in _state(home):
            with suppress(ContextNotFound):  # deleted since
                record = await self._record(home)
                _keep(self._homes, conversation_id, home, MAX_HOMES)
                return record
        return None

    async def read_records(self, *, scope: str | None = None, limit: int | None = None) -> list[ConversationRecord]:
        """The records, newest first. Reads all of the scope's contexts, as these are listed by their creation."""
        wanted = {KEY: {"format": 1} if scope is None else {"format": 1, "scope": scope}}
        contexts = self.client.contexts(metadata=wanted, limit=1000)
        homes = [context async for context in contexts if context["externalId"] is not None]
        homes.sort(key=lambda home: float(_state(home)["updated"]), reverse=True)
        records = []
        for home in homes[:limit]:
            with suppress(ContextNotFound):  # deleted since
                records.append(await self._record(home))
        return records

    async def write_record(
        self,
        record: ConversationRecord,
        *,
        new_entries: Sequence[ConversationEntry] = (),
        expected_revision: str | None,
    ) -> None:
        """Stores a record and new entries, one line that ends with its head, together or not at all."""
        name, entries = record.conversation_id, list(new_entries)
        if entries and [entry.id for entry in entries] != [*(e.parent_id for e in entries[1:]), record.head_id]:
            raise ValueError("new entries are one line that ends with the record's head")
        for _ in range(ATTEMPTS):
            home = self._homes.pop(name, None)
            if not home or _state(home).get("revision") != expected_revision:
                home = await self.home(name)
            if (_state(home).get("revision") if home else None) != expected_revision:
                break
            try:
                await self._write(home, record, entries)
            except (VersionConflict, ContextNotFound, ExternalIdMissing, ExternalIdTaken):
                continue  # somebody else has written, and perhaps not the record
            except LookupError:
                break
            return
        raise ConversationConflict(name)

    async def delete_record(self, conversation_id: str, *, expected_revision: str) -> None:
        """Deletes a conversation: its record, and all of its entries that no fork shares."""
        for _ in range(ATTEMPTS):
            home = await self.home(conversation_id)
            if not home:
                break
            with suppress(VersionConflict, ContextNotFound):
                tagged = await self.client.get_context(home["id"])
                if tagged["externalId"] != conversation_id:
                    continue  # somebody has branched it since
                if _state(tagged).get("revision") != expected_revision:
                    break
                own = self.client.contexts(metadata={KEY: {"conversation": conversation_id}}, limit=1000)
                parents = {context["id"]: context["parentId"] async for context in own}
                # What others have forked of it has the same metadata, and is not among those that the id has left. They
                # go before the home, as it leads to them, the oldest first: what is cut off can be done again.
                left = [home["parentId"]]
                while left[-1] in parents:
                    left.append(parents[left[-1]])
                for context_id in left[-2::-1]:
                    with suppress(ContextNotFound):
                        await self.client.delete_context(str(context_id))
                await self.client.delete_context(home["id"], if_match=tagged["etag"])
                return
        raise ConversationConflict(conversation_id)

    async def read_entry(self, entry_id: str) -> ConversationEntry:
        """An entry that this store has read or written, or that a history ends with. Raises LookupError for others."""
        return (await self.read_history(entry_id, limit=1))[0]

    async def read_history(self, head_id: str | None, *, limit: int | None = None) -> list[ConversationEntry]:
        """The entries up to head_id, or the last limit of them. Raises LookupError for what is not stored."""
        if head_id is None or limit == 0:
            return []
        return _entries((await self._line(head_id, limit=limit))[1])

    async def home(self, conversation_id: str) -> Context | None:
        """The context that has the conversation's id now."""
        return await anext(aiter(self.client.contexts(external_id=conversation_id)), None)

    # --- How it is stored.

    async def _record(self, home: Context) -> ConversationRecord:
        state = _state(home)
        context_id, at, text = state["context"], state["at"], state.get("record")
        if text is None:  # too large for the context's metadata
            try:
                text = await self._carried(context_id, at)
            except ContextNotFound:  # a fork of it, which has the id now, has all of its messages
                text = await self._carried(home["id"], at)
        [record] = RECORDS.validate_json(f"[{text}]")
        if record.head_id is not None:
            _keep(self._places, record.head_id, (context_id, at), MAX_REMEMBERED)
        return replace(record, conversation_id=home["externalId"] or record.conversation_id)  # others may fork it

    async def _carried(self, context_id: str, version: int) -> str:
        [message] = [each async for each in self.client.messages(context_id, cursor=version - 1, at=version)]
        return str(message["metadata"][KEY]["record"])

    async def _line(
        self, entry_id: str, *conversation_ids: str | None, limit: int | None = None
    ) -> tuple[str, list[Message]]:
        """A context and its messages that are the line to an entry, or to its last limit entries."""
        async for context_id, at in self._candidates(entry_id, *conversation_ids):
            if line := await self._walk(context_id, entry_id, at, limit):
                return context_id, line
        raise LookupError(entry_id)

    async def _candidates(self, entry_id: str, *conversation_ids: str | None) -> AsyncIterator[tuple[str, int | None]]:
        """Contexts in which an entry may be, each up to a version, the likely ones first."""
        if entry_id in self._places:
            yield self._places[entry_id]
        async for context in self.client.contexts(metadata={KEY: {"head": entry_id}}):
            yield _state(context)["context"], _state(context)["at"]
            yield context["id"], None
        for name in filter(None, conversation_ids):
            async for context in self.client.contexts(metadata={KEY: {"conversation": name}}):
                yield context["id"], None

    async def _walk(
        self, context_id: str, entry_id: str, at: int | None = None, limit: int | None = None
    ) -> list[Message]:
        """The messages of a line, from its end to its beginning and turned; none where it is not in the context."""
        wanted: str | None = entry_id
        line: list[Message] = []
        page = 1000 if limit is None else min(1000, 2 * limit + 8)  # most entries are one or two messages
        back = ListMessagesArguments(order="desc", limit=page)
        if at is not None:
            back["at"] = at
        with suppress(ContextNotFound):
            async for message in self.client.messages(context_id, **back):
                own = _own(message)
                if own.get("entry") != wanted:
                    continue
                line.append(message)
                if "parent" in own:
                    wanted = own["parent"]
                    limit = None if limit is None else limit - 1
                    if wanted is None or limit == 0:
                        self._remember(context_id, line[::-1])
                        return line[::-1]
        return []

    def _remember(self, context_id: str, line: Iterable[Message]) -> None:
        """Where entries end: for ever, unless the context is deleted."""
        for message in line:
            if entry := _own(message).get("entry"):
                _keep(self._places, entry, (context_id, message["version"]), MAX_REMEMBERED)

    async def _write(self, home: Context | None, record: ConversationRecord, entries: list[ConversationEntry]) -> None:
        name, parent = record.conversation_id, entries[0].parent_id if entries else record.head_id
        new = [message for entry in entries for message in _messages(entry)]
        if not new and _is_large(record):
            new = [dict(CARRIER)]
        metadata: dict[str, Any] = {KEY: {"conversation": name}}  # no conversation yet, but deleted with it
        if home is None and parent is None:
            home = await self.client.create_context(external_id=name, metadata=metadata, policy=self.policy)
            if "revision" in _state(home):
                raise ConversationConflict(name)
        taking: dict[str, Any] = {"external_id": name}
        if home:
            context_id, metadata, latest = home["id"], home["metadata"], home["latestVersion"]
            version, missing = await self._shared(home, parent, record.forked_from)
            new = [*map(_copy, missing), *new]
            if new and version == latest:
                await self._append(home, record, new)
                return
            taking = {"expected_version": latest, "move_external_id": True}
        else:
            context_id, line = await self._line(str(parent), record.forked_from)
            version = line[-1]["version"]
        with_record = metadata if new else {**metadata, KEY: _stated(record, context_id, version)}
        try:
            home = await self.client.fork(context_id, version=version, metadata=with_record, **taking)
        except ForkTooDeep:
            # Should no append follow, a later write finds that the home lacks these.
            old = [_copy(message) async for message in self.client.messages(context_id, at=version, limit=1000)]
            home = await self.client.fork(context_id, version=0, metadata=metadata, **taking)
            new = [*old, *new]
        if new:
            await self._append(home, record, new)

    async def _append(self, home: Context, record: ConversationRecord, messages: Sequence[Mapping[str, Any]]) -> None:
        """Stores messages and the record in a home that is as it was read, and that the id still names."""
        version = home["latestVersion"]
        state = _stated(record, home["id"], version + len(messages))
        if _is_large(record):
            last = {**messages[-1], "metadata": {KEY: {**messages[-1]["metadata"][KEY], "record": state["record"]}}}
            messages, state = [*messages[:-1], last], {**state, "record": None}
        name, patch = record.conversation_id, {KEY: state}
        stored = await self.client.append(
            home["id"], messages, expected_version=version, expected_external_id=name, context_metadata=patch
        )
        self._remember(home["id"], stored)

    async def _shared(
        self, home: Context, entry_id: str | None, *conversation_ids: str | None
    ) -> tuple[int, list[Message]]:
        """Up to which version a home stays where a write goes on behind an entry, and what it lacks of the line to it.

        What others have appended behind the head stays, and what is left of a save that got no further does not.
        """
        state, latest = _state(home), home["latestVersion"]
        at_head, at = entry_id == state.get("head"), state.get("at", 0)
        if at_head and at == latest and (not at or _has(home, state["context"], at)):
            return latest, []
        if entry_id in self._places and not at_head and _has(home, *self._places[entry_id]):
            return self._places[entry_id][1], []
        line = await self._walk(home["id"], entry_id) if entry_id else []
        if line or entry_id is None:
            version = line[-1]["version"] if line else 0
            behind = self.client.messages(home["id"], cursor=version, limit=1000)
            if at_head and not [message async for message in behind if "entry" in _own(message)]:
                version = latest
            return version, []
        _, line = await self._line(str(entry_id), home["externalId"], *conversation_ids)
        shared = 0
        async for message in self.client.messages(home["id"], limit=1000):
            if shared == len(line) or _copy(message)["metadata"] != _copy(line[shared])["metadata"]:
                break
            shared += 1
        return shared, line[shared:]

    async def draft(self, conversation_id: str, messages: Sequence[ModelMessage]) -> tuple[str, int]:
        """A new context without an id, and how many of the messages it has: those up to the newest stored one."""
        metadata = {KEY: {"draft": conversation_id}}
        home = await self.home(conversation_id)
        policy = home["policy"] if home else self.policy
        if home and (head := _state(home).get("head")):
            [entry] = await self.read_history(head, limit=1)
            known = next((n for n in range(len(messages), 0, -1) if messages[n - 1] == entry.message), 0)
            if known:
                version, missing = await self._shared(home, head)
                place, at = self._places[head] if missing else (home["id"], version)
                with suppress(ForkTooDeep):
                    draft = await self.client.fork(place, version=at, metadata=metadata, policy=policy)
                    return draft["id"], known
        return (await self.client.create_context(policy=policy, metadata=metadata))["id"], 0


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
        """Deletes the draft, however the run ends; the run is none the worse where that fails."""
        try:
            return await handler()
        finally:
            with suppress(KataError):
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
        sent = _sent((await self.store.client.window(self._draft, **arguments))["data"])
        if sent:  # a window may begin within the request, whose first piece has its instructions
            sent[-1] = replace(messages[-1], parts=sent[-1].parts)  # type: ignore[arg-type]  # of the same kind
        return replace(request_context, messages=sent or messages)

    async def _end(self) -> None:
        if self._draft is not None:
            draft, self._draft = self._draft, None
            await self.store.client.delete_context(draft)


def _keep(kept: dict[str, T], key: str, value: T, most: int) -> None:
    """Puts a value in place of the oldest where there are more than most."""
    kept[key] = value
    if len(kept) > most:
        del kept[next(iter(kept))]


def _state(context: Context) -> Mapping[str, Any]:
    state = context["metadata"].get(KEY)
    return state if isinstance(state, dict) else {}


def _has(home: Context, context_id: str, version: int) -> bool:
    """Whether a home has the messages of a context up to a version; it may say no of what is further back."""
    return home["id"] == context_id or (home["parentId"] == context_id and version <= (home["forkVersion"] or 0))


def _stated(record: ConversationRecord, context_id: str, at: int) -> dict[str, Any]:
    """The state of a home."""
    return {
        "format": 1,
        "conversation": record.conversation_id,
        "scope": record.scope,
        "revision": record.revision,
        "updated": record.updated_at.timestamp(),
        "head": record.head_id,
        "record": RECORDS.dump_json([record]).decode()[1:-1],
        "context": context_id,
        "at": at,
    }


def _is_large(record: ConversationRecord) -> bool:
    """Whether a record is too large for the metadata of a context."""
    return len(dump(_stated(record, "", 0)).encode()) > MAX_RECORD


def _own(message: Message) -> dict[str, Any]:
    own = message["metadata"].get(KEY)
    return own if isinstance(own, dict) else {}


def _copy(message: Message) -> dict[str, Any]:
    """A stored message as a new one."""
    copied = {name: value for name, value in message.items() if name in COPIED}
    own = {name: value for name, value in _own(message).items() if name != "record"}
    return {**copied, "metadata": {**message["metadata"], **({KEY: own} if own else {})}}


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


def _sent(window: Sequence[Message]) -> list[ModelMessage]:
    """What a window has, as their messages; of some it has a part."""
    sent: list[ModelMessage] = []
    for entry, group in groupby(window, lambda message: _own(message).get("entry")):
        messages = list(group)
        sent += _parsed([_joined(*map(_piece, messages))]) if entry else map(_of_others, messages)
    return sent


def _piece(message: Mapping[str, Any]) -> str:
    text = str(message["metadata"][KEY]["message"])
    if "cleared" not in message:
        return text
    piece = json.loads(text)
    piece["parts"] = [{**part, "content": message["content"]} for part in piece["parts"]]
    return json.dumps(piece)


def _of_others(message: Message) -> ModelMessage:
    """A summary, or what another client has said."""
    content = message["content"]
    text = content if isinstance(content, str) else "\n".join(str(part.get("text", "")) for part in content or [])
    if message["role"] == "assistant":
        calls = [
            ToolCallPart(call["function"]["name"], call["function"]["arguments"], tool_call_id=call["id"])
            for call in message["toolCalls"] or []
        ]
        return ModelResponse(parts=[*([TextPart(text)] if text else []), *calls])
    if message["role"] == "tool":
        name = message["toolName"] or "unknown"
        return ModelRequest(parts=[ToolReturnPart(name, text, tool_call_id=str(message["toolCallId"]))])
    kind = SystemPromptPart if message["role"] == "system" else UserPromptPart
    return ModelRequest(parts=[kind(text)])


def _entries(line: Sequence[Message]) -> list[ConversationEntry]:
    groups = [list(group) for _, group in groupby(line, lambda message: _own(message)["entry"])]
    messages = _parsed(_joined(*(_own(message)["message"] for message in group)) for group in groups)
    owns = [_own(group[0]) for group in groups]
    return [
        ConversationEntry(id=own["entry"], parent_id=own["parent"], message=message)
        for own, message in zip(owns, messages, strict=True)
    ]

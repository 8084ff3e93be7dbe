"""Conversations of LangChain's agents: stored message by message as they are said, and sent in windows of a budget.

    agent = create_agent(model, tools, middleware=[KataMiddleware(budget=8000)])
    agent.invoke({"messages": [("user", "Where is my order 1042?")]}, {"configurable": {"thread_id": "ticket-2077"}})

A context follows the state of a graph: what the state has more is appended, and where the state has changed or lacks
what it had, the session goes on in a fork. It never follows what it has not seen: other writers' messages stay.
"""

import json
import math
import re
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Annotated, Any, NamedTuple, NotRequired, TypedDict, TypeVar, cast

from langchain.agents.middleware import AgentMiddleware, AgentState, ExtendedModelResponse, ModelRequest, ModelResponse
from langchain.agents.middleware.types import PrivateStateAttr
from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    message_to_dict,
    messages_from_dict,
)
from langgraph.config import get_config
from langgraph.runtime import Runtime
from langgraph.types import Command
from pydantic_core import to_jsonable_python

from kata_context import _requests as requests
from kata_context import types
from kata_context._appends import parts
from kata_context._client import AsyncClient, Client
from kata_context._requests import Request
from kata_context.errors import (
    ContextNotFound,
    ExternalIdMissing,
    ExternalIdTaken,
    ForkTooDeep,
    IdempotencyKeyReused,
    KataError,
)

T = TypeVar("T")
Steps = Generator[Request[Any], Any, T]  # sends requests, gets their answers or errors, and returns a T

ROLES: dict[type[BaseMessage], types.Role] = {
    HumanMessage: "user",
    AIMessage: "assistant",
    SystemMessage: "system",
    ToolMessage: "tool",
}

# Of a state that was never followed, so many stored messages more than it might have are searched for its own.
REACH = 50

# How often a session is looked up again that others have moved meanwhile.
TRIES = 10

# What JSON or PostgreSQL has no form for: U+0000 and halves of surrogate pairs.
UNFIT = re.compile("[\0\ud800-\udfff]")

NO_RESULT = "There is no result: the run ended before the tool did."


# --- Messages


def to_kata(message: BaseMessage, **more: str) -> types.NewMessage:
    """A message as the service takes it: what windows need, and in its metadata what that does not say, and more.

    What JSON cannot say becomes what comes nearest: artifacts of other types are named by their type alone.
    """
    data: dict[str, Any] = _json(message_to_dict(message)["data"])
    role = next((role for kind, role in ROLES.items() if isinstance(message, kind)), "user")
    if isinstance(message, ChatMessage) and message.role in {"user", "assistant", "system"}:
        role = cast("types.Role", message.role)
    stored: dict[str, Any] = {"role": role, "content": _content(data["content"])}
    if isinstance(message, AIMessage):
        model = data["response_metadata"].get("model_name") or data["response_metadata"].get("model")
        if isinstance(model, str):
            stored["model"] = model[:255]
        calls = [*data["tool_calls"], *data["invalid_tool_calls"]]
        stored["toolCalls"] = [_call(call) for call in calls] or None
    elif isinstance(message, ToolMessage):
        stored["toolCallId"] = message.tool_call_id or "none"
        stored["toolName"] = data["name"][:255] if data["name"] else None
    said = _said(stored)
    unsaid = {name: value for name, value in data.items() if name not in said or said[name] != value}
    stored["metadata"] = {"langchain": {"type": message.type, "data": unsaid, **more}}
    return cast("types.NewMessage", stored)


def from_kata(stored: Mapping[str, Any]) -> BaseMessage:
    """The message that was stored: an equal one, or what comes nearest to what is not of LangChain, as a summary."""
    its, said = stored["metadata"].get("langchain"), _said(stored)
    try:
        ai = its["type"] in {"ai", "AIMessageChunk"}
        data = {**(said if ai else {"content": said["content"]}), **its["data"]}
        if stored.get("cleared"):
            data["content"] = said["content"]
        return messages_from_dict([{"type": its["type"], "data": data}])[0]
    except (KeyError, TypeError, ValueError):
        kind = next(kind for kind, role in ROLES.items() if role == stored["role"])
        also = {"tool_call_id": stored["toolCallId"], "name": stored["toolName"]} if kind is ToolMessage else {}
        return kind(**said, **also, id=stored["id"])


def _said(stored: Mapping[str, Any]) -> dict[str, Any]:
    """What of a message's data is said without its metadata."""
    said: dict[str, Any] = {"content": "" if stored["content"] is None else stored["content"]}
    if stored["role"] == "assistant":
        said |= {"tool_calls": [], "invalid_tool_calls": []}
        for call in stored.get("toolCalls") or ():
            name, text = call["function"]["name"], call["function"]["arguments"]
            try:
                args = json.loads(text)
            except ValueError:
                args = None
            if isinstance(args, dict):
                said["tool_calls"].append({"type": "tool_call", "id": call["id"], "name": name, "args": args})
            else:
                invalid = {"type": "invalid_tool_call", "id": call["id"], "name": name, "args": text, "error": None}
                said["invalid_tool_calls"].append(invalid)
    return said


def _call(call: Mapping[str, Any]) -> types.ToolCall:
    args = call["args"] if isinstance(call["args"], str) else json.dumps(call["args"], ensure_ascii=False)
    function: types.Function = {"name": (call["name"] or "none")[:255], "arguments": args}
    return {"id": call["id"] or "none", "type": "function", "function": function}


def _content(content: str | list[Any]) -> str | list[Any]:
    """Content of which each part has a type."""
    if isinstance(content, str):
        return content
    return [
        part
        if isinstance(part, dict) and isinstance(part.get("type"), str)
        else {"type": "text", "text": part if isinstance(part, str) else json.dumps(part, ensure_ascii=False)}
        for part in content
    ]


def _json(value: Any) -> Any:
    """A value, or what in JSON comes nearest to it: the same for equal ones in every process."""
    if isinstance(value, str):
        return UNFIT.sub("\ufffd", value)
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_json(str(name)): _json(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_json(member) for member in value]
    name = f"<{type(value).__qualname__}>"
    return _json(to_jsonable_python(value, bytes_mode="base64", serialize_unknown=False, fallback=lambda _: name))


def _digest(message: BaseMessage) -> str:
    """Tells whether a message with the same id was edited: whether a model would read another."""
    its = [message.type, message.name, message.content, message.additional_kwargs]
    its += [getattr(message, name, None) for name in ("tool_calls", "invalid_tool_calls", "tool_call_id")]
    return sha256(json.dumps(_json(its), sort_keys=True).encode()).hexdigest()[:16]


def _answered(messages: Iterable[BaseMessage]) -> list[AnyMessage]:
    """What providers accept: each call with its result directly behind it, be it one that says that there is none."""
    units: list[tuple[BaseMessage, dict[str | None, ToolMessage]]] = []
    open_calls: dict[str | None, dict[str | None, ToolMessage]] = {}
    for message in messages:
        if isinstance(message, ToolMessage):
            if message.tool_call_id in open_calls:
                open_calls[message.tool_call_id][message.tool_call_id] = message
            continue
        calls = [*message.tool_calls, *message.invalid_tool_calls] if isinstance(message, AIMessage) else []
        results: dict[str | None, ToolMessage] = {
            call["id"]: ToolMessage(NO_RESULT, tool_call_id=call["id"] or "", name=call["name"], status="error")
            for call in calls
        }
        open_calls |= dict.fromkeys(results, results)
        units.append((message, results))
    return cast("list[AnyMessage]", [each for said, results in units for each in (said, *results.values())])


# --- A session


class Known(NamedTuple):
    """A stored message, as it is compared with one of the state."""

    id: str | None
    digest: str
    version: int
    mine: bool = True
    """Whether this state has or had it; else somebody else wrote it."""


class Followed(TypedDict):
    """What is stored of a state, which is kept in the state: a state of the past says what was stored then."""

    context: str
    latest: int
    writer: str
    stored: list[tuple[str | None, str, int]]


class KataState(AgentState[Any]):
    """The state of an agent, and what is stored of it."""

    kata_context: NotRequired[Annotated[Followed, PrivateStateAttr]]


def _compare(
    known: Sequence[Known], messages: Sequence[BaseMessage], start: int | None
) -> tuple[list[Known], int | None]:
    """Those that are stored of messages, in order, and the version to fork at where the history is another one now.

    start is the version before the first that the state had; where it has none of these any more, it begins anew there.
    Older messages that the state has dropped stay in the history: states are trimmed, and windows have a budget.
    """
    ids = {message.id for message in messages}
    first = next((place for place, each in enumerate(known) if each.id in ids), None)
    if first is None:
        return [], start
    same: list[Known] = []
    for each in known[first:]:
        here = messages[len(same)] if len(same) < len(messages) else None
        if here and here.id == each.id and _digest(here) == each.digest:
            same.append(each)
        elif each.mine or each.id in ids:
            return same, each.version - 1
    return same, None


def _follow(
    session_id: str, policy: types.Policy, messages: Sequence[BaseMessage], followed: Followed | None
) -> Steps[Followed]:
    """Makes the session's context one that ends with messages, and whatever others have written."""
    writer = followed["writer"] if followed else (messages[0].id or "") if messages else ""
    reach = 0
    for _ in range(TRIES):
        context: Mapping[str, Any] = yield requests.create_context(external_id=session_id, policy=policy)
        known: list[Known] = []
        start = None
        if followed and followed["context"] == context["id"]:
            known = [Known(*each) for each in followed["stored"]]
            start = known[0].version - 1 if known else None
            after = followed["latest"]
        else:
            # One message is found by its key, however far back it is, unless a fork shares it.
            least = 0 if len(messages) == 1 and not context["parentId"] else 2 * len(messages) + REACH
            after = context["latestVersion"] - max(reach, least)
        if after < context["latestVersion"]:
            for stored in (yield from _read(context["id"], max(0, after), context["latestVersion"])):
                message, its = from_kata(stored), stored["metadata"].get("langchain")
                mine = isinstance(its, dict) and its.get("writer") == writer
                known.append(Known(message.id, _digest(message), stored["version"], mine))
        same, cut = _compare(known, messages, start)
        try:
            if cut is not None:
                context = yield from _fork(context, cut)
            latest: int = context["latestVersion"]
            new = messages[len(same) :]
            added = yield from _append(context["id"], [to_kata(message, writer=writer) for message in new], new)
        except (ExternalIdMissing, ExternalIdTaken, ContextNotFound):  # somebody else has just moved or deleted it
            continue
        except IdempotencyKeyReused:  # it was stored long ago, and is another now
            if reach:
                raise
            reach = context["latestVersion"]
            continue
        same += [Known(message.id, _digest(message), version) for message, version in zip(new, added, strict=True)]
        followed = {
            "context": context["id"],
            "latest": added[-1] if added else latest,
            "writer": writer,
            "stored": [(each.id, each.digest, each.version) for each in same],
        }
        if not added or added[0] > latest:
            return followed
        # They were stored before: the next look is at what stands behind them.
    raise KataError(f"others move the session {session_id!r} all the time")


def _read(context_id: str, after: int, through: int) -> Steps[list[types.Message]]:
    """The messages behind one version, through another."""
    stored: list[types.Message] = []
    request = requests.messages(context_id, cursor=after, at=through, limit=1000)
    while True:
        page = yield request
        stored += page["data"]
        if not page["hasMore"]:
            return stored
        request = request.at(page["nextCursor"])


def _append(
    context_id: str, messages: Sequence[types.NewMessage], given: Sequence[BaseMessage] = ()
) -> Steps[list[int]]:
    """The versions of messages, which are stored once for the ids of those that they were made of."""
    key = sha256("\0".join(str(message.id) for message in given).encode()).hexdigest()
    stored: list[types.Message] = []
    if messages:
        for part in parts(context_id, messages, {"idempotency_key": f"langchain:{key}"} if given else {}, stored):
            stored += yield part
    return [each["version"] for each in stored]


def _fork(context: Mapping[str, Any], version: int) -> Steps[Mapping[str, Any]]:
    """The context in which the session goes on behind a version, with its id."""
    try:
        fork: Mapping[str, Any] = yield requests.fork(context["id"], version=version, move_external_id=True)
    except ForkTooDeep:
        pass
    else:
        return fork
    members = types.NewMessage.__annotations__.keys() - {"embedding"}
    old = yield from _read(context["id"], 0, version)
    copy = yield requests.create_context(policy=context["policy"], metadata=context["metadata"])
    again = [{name: value for name, value in each.items() if name in members} for each in old]
    yield from _append(copy["id"], cast("list[types.NewMessage]", again))
    yield requests.update_context(context["id"], external_id=None)
    moved: Mapping[str, Any] = yield requests.update_context(copy["id"], external_id=context["externalId"])
    return moved


def _send(client: Client, steps: Steps[T]) -> T:
    """What steps return, once their requests are answered."""
    try:
        request = next(steps)
        while True:
            try:
                answer = client._send(request)  # noqa: SLF001 - of this package
            except KataError as error:
                request = steps.throw(error)
            else:
                request = steps.send(answer)
    except StopIteration as end:
        return cast("T", end.value)


async def _asend(client: AsyncClient, steps: Steps[T]) -> T:
    """The same to be awaited."""
    try:
        request = next(steps)
        while True:
            try:
                answer = await client._send(request)  # noqa: SLF001 - of this package
            except KataError as error:
                request = steps.throw(error)
            else:
                request = steps.send(answer)
    except StopIteration as end:
        return cast("T", end.value)


def _policy(budget: int | None, policy: types.Policy | None) -> types.Policy:
    """The policy of contexts that are made here."""
    if policy is None and budget is not None:
        return {"budget": budget, "keepPreamble": True, "keepRequest": True, "step": budget // 4}
    return policy or {}


def _window(context_id: str, budget: int | None) -> Steps[list[AnyMessage]]:
    """What to send to a model."""
    arguments: types.GetWindowArguments = {} if budget is None else {"budget": budget}
    window = yield requests.window(context_id, **arguments)
    return _answered(from_kata(stored) for stored in window["data"])


class KataMiddleware(AgentMiddleware[KataState, Any, Any]):
    """Stores what an agent says and is told when it is said, and sends its model windows. Put it first.

    Where a checkpointer keeps the thread, too, the context follows the thread; where none does, the context is the
    memory: invoke the agent with what is new. The same message, by its id, once more begins its turn anew, in a fork.
    """

    state_schema = KataState

    def __init__(
        self,
        session_id: str | None = None,
        *,
        budget: int | None = None,
        policy: types.Policy | None = None,
        client: Client | None = None,
        async_client: AsyncClient | None = None,
    ) -> None:
        """Takes a session's id, or else the thread_id of each run's configuration; it is the context's externalId.

        budget, in tokens, is each window's; without it the context's policy has one. policy is given to contexts that
        are made here: without it they keep their preamble and the request, and move on by a quarter of budget.
        """
        super().__init__()
        self._session_id, self._budget, self._policy = session_id, budget, _policy(budget, policy)
        self._client, self._async_client = client or Client(), async_client or AsyncClient()

    def before_agent(self, state: KataState, runtime: Runtime[Any]) -> dict[str, Any] | None:  # noqa: ARG002 - theirs
        """Stores what the state has more than is stored: here the input, then what a model or its tools have said."""
        return _send(self._client, self._update(state))

    async def abefore_agent(self, state: KataState, runtime: Runtime[Any]) -> dict[str, Any] | None:  # noqa: ARG002 - theirs
        """The same to be awaited."""
        return await _asend(self._async_client, self._update(state))

    after_model = after_agent = before_agent
    aafter_model = aafter_agent = abefore_agent

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ExtendedModelResponse[Any]:
        """Stores results of tools, and sends the window."""
        followed, window = _send(self._client, self._turn(cast("KataState", request.state)))
        return _response(handler(request.override(messages=window)), followed)

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ExtendedModelResponse[Any]:
        """The same to be awaited."""
        followed, window = await _asend(self._async_client, self._turn(cast("KataState", request.state)))
        return _response(await handler(request.override(messages=window)), followed)

    def _update(self, state: KataState) -> Steps[dict[str, Any] | None]:
        followed, messages = state.get("kata_context"), state["messages"]
        if followed and [tuple(each[:2]) for each in followed["stored"]] == [(it.id, _digest(it)) for it in messages]:
            return None
        return {"kata_context": (yield from _follow(self._session(), self._policy, messages, followed))}

    def _turn(self, state: KataState) -> Steps[tuple[Followed, list[AnyMessage]]]:
        followed = yield from _follow(self._session(), self._policy, state["messages"], state.get("kata_context"))
        return followed, (yield from _window(followed["context"], self._budget))

    def _session(self) -> str:
        thread_id = self._session_id or get_config().get("configurable", {}).get("thread_id")
        if not thread_id:
            raise ValueError("KataMiddleware takes a session_id, or a thread_id in the run's configuration")
        return str(thread_id)


def _response(response: ModelResponse[Any], followed: Followed) -> ExtendedModelResponse[Any]:
    return ExtendedModelResponse(response, Command(update={"kata_context": followed}))


class KataChatMessageHistory(BaseChatMessageHistory):
    """A session's messages, for chains with RunnableWithMessageHistory; LangChain drops both in 2.0.

    Agents have KataMiddleware.
    """

    def __init__(
        self,
        session_id: str,
        *,
        budget: int | None = None,
        policy: types.Policy | None = None,
        client: Client | None = None,
        async_client: AsyncClient | None = None,
    ) -> None:
        """Takes the context's externalId. With a budget, in tokens, `messages` are a window, and else all of them."""
        super().__init__()
        self._session_id, self._budget, self._policy = session_id, budget, _policy(budget, policy)
        self._client, self._async_client = client or Client(), async_client or AsyncClient()

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override] # as the examples of the class itself have it
        """What a chain is given."""
        return _send(self._client, self._in_context(self._messages))

    async def aget_messages(self) -> list[BaseMessage]:
        """The same to be awaited."""
        return await _asend(self._async_client, self._in_context(self._messages))

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Stores all of them or none; more than the service takes at once in several requests."""
        stored = [to_kata(message) for message in messages]
        _send(self._client, self._in_context(lambda context: _append(context["id"], stored)))

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """The same to be awaited."""
        stored = [to_kata(message) for message in messages]
        await _asend(self._async_client, self._in_context(lambda context: _append(context["id"], stored)))

    def clear(self) -> None:
        """Deletes the context; the next message makes another."""
        _send(self._client, self._in_context(self._clear))

    async def aclear(self) -> None:
        """The same to be awaited."""
        await _asend(self._async_client, self._in_context(self._clear))

    def _in_context(self, work: Callable[[Mapping[str, Any]], Steps[T]]) -> Steps[T]:
        while True:
            context = yield requests.create_context(external_id=self._session_id, policy=self._policy)
            try:
                return (yield from work(context))
            except ContextNotFound:
                pass  # somebody has just cleared it

    def _messages(self, context: Mapping[str, Any]) -> Steps[list[BaseMessage]]:
        if self._budget is not None:
            return cast("list[BaseMessage]", (yield from _window(context["id"], self._budget)))
        return [from_kata(stored) for stored in (yield from _read(context["id"], 0, context["latestVersion"]))]

    def _clear(self, context: Mapping[str, Any]) -> Steps[None]:
        yield requests.delete_context(context["id"])

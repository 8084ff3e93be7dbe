"""Conversations of LangChain's agents: stored message by message as they are said, and sent in windows of a budget.

    agent = create_agent(model, tools, middleware=[KataMiddleware(budget=8000)])
    agent.invoke({"messages": [("user", "Where is my order 1042?")]}, {"configurable": {"thread_id": "ticket-2077"}})

_messages   messages as the service stores them
_following  how a context follows the messages of a graph's state
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any, NotRequired, cast

from langchain.agents.middleware import AgentMiddleware, AgentState, ExtendedModelResponse, ModelRequest, ModelResponse
from langchain.agents.middleware.types import PrivateStateAttr
from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import AnyMessage, BaseMessage
from langgraph.config import get_config
from langgraph.runtime import Runtime
from langgraph.types import Command

from kata_context import _requests as requests
from kata_context import types
from kata_context._client import AsyncClient, Client
from kata_context.errors import ContextNotFound, ExternalIdMissing, KataError, VersionConflict
from kata_context.langchain._following import TRIES, Followed, Steps, T, append, asend, follow, read, send
from kata_context.langchain._messages import answered, from_kata, to_kata

__all__ = ["KataChatMessageHistory", "KataMiddleware", "from_kata", "to_kata"]


class _Session:
    """What a middleware and a history are told."""

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
        are made here: without it they keep their preamble and the request, and move on by a quarter of budget. invoke
        needs client, and ainvoke async_client; with neither both are made of the environment.
        """
        super().__init__()
        self._session_id, self._budget, self._policy = session_id, budget, policy or {}
        if policy is None and budget is not None:
            self._policy = {"budget": budget, "keepPreamble": True, "keepRequest": True, "step": budget // 4}
        neither = client is None and async_client is None
        self._client, self._async_client = (Client(), AsyncClient()) if neither else (client, async_client)

    def _session(self) -> str:
        session_id = self._session_id
        if session_id is None:
            session_id = get_config().get("configurable", {}).get("thread_id")
        if session_id in (None, ""):
            raise ValueError(f"{type(self).__name__} takes a session_id, or a thread_id in the run's configuration")
        return str(session_id)

    def _window(self, context_id: str) -> Steps[tuple[list[AnyMessage], int]]:
        """What to send to a model, and the latest version at that time."""
        arguments: types.GetWindowArguments = {} if self._budget is None else {"budget": self._budget}
        window = yield requests.window(context_id, **arguments)
        latest = re.search("[0-9]+", window["etag"])  # which a proxy may have dropped
        return answered(from_kata(stored) for stored in window["data"]), int(latest[0]) if latest else -1


class KataState(AgentState[Any]):
    """The state of an agent, and what is stored of it."""

    kata_context: NotRequired[Annotated[Followed, PrivateStateAttr]]


class KataMiddleware(_Session, AgentMiddleware[KataState, Any, Any]):
    """Stores what an agent says and is told when it is said, and sends its model windows. Put it first.

    Where a checkpointer keeps the thread, too, the context follows the thread; where none does, the context is the
    memory: invoke the agent with what is new. A message that comes again, by its id, begins its turn anew in a fork.
    """

    state_schema = KataState

    def before_agent(self, state: KataState, runtime: Runtime[Any]) -> dict[str, Any] | None:  # noqa: ARG002 - theirs
        """Stores the input."""
        return send(self._client, self._update(state, anew=True))

    async def abefore_agent(self, state: KataState, runtime: Runtime[Any]) -> dict[str, Any] | None:  # noqa: ARG002
        """Stores the input."""
        return await asend(self._async_client, self._update(state, anew=True))

    def after_model(self, state: KataState, runtime: Runtime[Any]) -> dict[str, Any] | None:  # noqa: ARG002
        """Stores what the model has said; after the agent, what its last tools have said."""
        return send(self._client, self._update(state))

    async def aafter_model(self, state: KataState, runtime: Runtime[Any]) -> dict[str, Any] | None:  # noqa: ARG002
        """Stores what the model has said; after the agent, what its last tools have said."""
        return await asend(self._async_client, self._update(state))

    after_agent, aafter_agent = after_model, aafter_model

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ExtendedModelResponse[Any]:
        """Stores what tools have said, and sends the window."""
        followed, window = send(self._client, self._turn(cast("KataState", request.state)))
        return _response(handler(request.override(messages=window)), followed)

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ExtendedModelResponse[Any]:
        """Stores what tools have said, and sends the window."""
        followed, window = await asend(self._async_client, self._turn(cast("KataState", request.state)))
        return _response(await handler(request.override(messages=window)), followed)

    def _follow(self, state: KataState, *, anew: bool = False) -> Steps[Followed]:
        return follow(self._session(), self._policy, state["messages"], state.get("kata_context"), anew=anew)

    def _update(self, state: KataState, *, anew: bool = False) -> Steps[dict[str, Any] | None]:
        followed = yield from self._follow(state, anew=anew)
        return None if followed == state.get("kata_context") else {"kata_context": followed}

    def _turn(self, state: KataState) -> Steps[tuple[Followed, list[AnyMessage]]]:
        followed = yield from self._follow(state)
        with suppress(ContextNotFound):
            window, latest = yield from self._window(followed["id"])
            if latest == followed["latestVersion"]:
                return followed, window
        # Others have written, or what this state has not said yet stands there.
        followed = yield from self._follow(state, anew=True)
        window, _ = yield from self._window(followed["id"])
        return followed, window


def _response(response: ModelResponse[Any], followed: Followed) -> ExtendedModelResponse[Any]:
    return ExtendedModelResponse(response, Command(update={"kata_context": followed}))


class KataChatMessageHistory(_Session, BaseChatMessageHistory):
    """A session's messages, for chains with RunnableWithMessageHistory; LangChain drops both in 2.0.

    With a budget, in tokens, its messages are a window, and else all of them. Agents have KataMiddleware.
    """

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override] # as the examples of the class itself have it
        """What a chain is given."""
        return send(self._client, self._in_context(self._messages))

    async def aget_messages(self) -> list[BaseMessage]:
        """The same to be awaited."""
        return await asend(self._async_client, self._in_context(self._messages))

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Stores them, all or none where one request takes them: 1,000 messages, 4.3 MB."""
        send(self._client, self._add(messages))

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """The same to be awaited."""
        await asend(self._async_client, self._add(messages))

    def clear(self) -> None:
        """Deletes the context; the next message makes another."""
        send(self._client, self._in_context(self._clear))

    async def aclear(self) -> None:
        """The same to be awaited."""
        await asend(self._async_client, self._in_context(self._clear))

    def _in_context(self, work: Callable[[Mapping[str, Any]], Steps[T]]) -> Steps[T]:
        for _ in range(TRIES):
            context = yield requests.create_context(external_id=self._session(), policy=self._policy)
            with suppress(ContextNotFound, ExternalIdMissing, VersionConflict):  # somebody else was faster
                return (yield from work(context))
        raise KataError(f"others move the session {self._session()!r} all the time")

    def _messages(self, context: Mapping[str, Any]) -> Steps[list[BaseMessage]]:
        if self._budget is not None:
            window, _ = yield from self._window(context["id"])
            return list[BaseMessage](window)
        return [from_kata(stored) for stored in (yield from read(context["id"], 0, context["latestVersion"]))]

    def _add(self, messages: Sequence[BaseMessage]) -> Steps[None]:
        given, stored = [to_kata(message) for message in messages], list[types.Message]()
        there: types.AppendMessagesArguments = {"expected_external_id": self._session()}
        return self._in_context(lambda context: append(context["id"], given[len(stored) :], there, stored))

    def _clear(self, context: Mapping[str, Any]) -> Steps[None]:
        yield requests.delete_context(context["id"], if_match=context["etag"])

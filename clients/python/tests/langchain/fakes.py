"""A model that says what a test has it say, and keeps what it was sent; a tool; what providers demand of messages."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from langchain.agents import create_agent
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import tool
from pydantic import Field

from kata_context import AsyncClient, Client
from kata_context.langchain import KataMiddleware, from_kata
from tests.conftest import Stack

Turn: TypeAlias = Callable[..., list[BaseMessage]]


class Model(BaseChatModel):
    """Says its answers in turn, then "ok"; raises those that are errors."""

    answers: list[Any] = Field(default_factory=list)
    sent: list[list[BaseMessage]] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "fake"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, Any]:
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self.sent.append(messages)
        assert_valid(messages)
        answer = self.answers.pop(0) if self.answers else AIMessage("ok")
        if callable(answer):
            answer = answer()
        if isinstance(answer, BaseException):
            raise answer
        return ChatResult(generations=[ChatGeneration(message=answer)])


@tool
def find_order(number: int) -> str:
    """Where an order is."""
    if number < 0:
        raise RuntimeError("no such order")
    return f"order {number}: shipped"


def calls(*numbers: int) -> AIMessage:
    """Calls find_order once for each number."""
    of = [{"name": "find_order", "args": {"number": number}, "id": f"call_{number}"} for number in numbers]
    return AIMessage("", tool_calls=of)


def assert_valid(messages: Sequence[BaseMessage]) -> None:
    """Each call is answered directly behind it, once, and nothing else is."""
    awaited: list[str | None] = []
    for message in messages:
        if isinstance(message, ToolMessage):
            assert message.tool_call_id in awaited
            awaited.remove(message.tool_call_id)
        else:
            assert not awaited
            if isinstance(message, AIMessage):
                awaited = [call["id"] for call in (*message.tool_calls, *message.invalid_tool_calls)]
    assert not awaited


def agent(stack: Stack, model: Model, *others: Any, retries: int = 4, **arguments: Any) -> Any:
    """An agent as a new process makes it."""
    settings: dict[str, Any] = {
        "budget": 100_000,
        "client": Client(stack.proxy, max_retries=retries),
        "async_client": AsyncClient(stack.proxy, max_retries=retries),
    }
    settings |= {name: arguments.pop(name) for name in (*settings, "policy", "session_id") if name in arguments}
    kata = KataMiddleware(**settings)
    return create_agent(model, [find_order], middleware=[kata, *others], **arguments)


def invoke(made: Any, thread: str, *messages: Any, **arguments: Any) -> Any:
    """A run, and its result."""
    return made.invoke({"messages": list(messages)}, {"configurable": {"thread_id": thread}}, **arguments)


def ainvoke(made: Any, thread: str, *messages: Any, **arguments: Any) -> Any:
    """A run in an event loop of its own, and its result."""
    return asyncio.run(made.ainvoke({"messages": list(messages)}, {"configurable": {"thread_id": thread}}, **arguments))


def stored(kata: Client, thread: str) -> list[BaseMessage]:
    """What the session has."""
    context = kata.create_context(external_id=thread)
    return [from_kata(message) for message in kata.messages(context["id"], limit=1000)]


def texts(messages: Sequence[BaseMessage]) -> list[str]:
    """What is said, with the ids of calls where nothing is."""
    return [
        str(
            message.text or [call["id"] for call in message.tool_calls]
            if isinstance(message, AIMessage)
            else message.text
        )
        for message in messages
    ]

"""A session's messages for old chains, beside LangChain's own memory."""

import asyncio
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from langchain_core._api import LangChainDeprecationWarning
from langchain_core.chat_history import InMemoryChatMessageHistory
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables.history import RunnableWithMessageHistory

from kata_context import AsyncClient, Client
from kata_context.langchain import KataChatMessageHistory
from tests.conftest import Stack
from tests.langchain.fakes import Model, assert_valid, calls
from tests.langchain.test_messages import messages


def history(stack: Stack, session_id: str, **arguments: Any) -> KataChatMessageHistory:
    """As a new process makes it."""
    client, async_client = Client(stack.proxy), AsyncClient(stack.proxy)
    return KataChatMessageHistory(session_id, client=client, async_client=async_client, **arguments)


@pytest.fixture
def deprecated() -> Iterator[None]:
    """LangChain's own classes for old chains say that they are old."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LangChainDeprecationWarning)
        yield


class TestKataChatMessageHistory:
    def test_what_was_added_is_there(self, stack: Stack, unique: str) -> None:
        said = [HumanMessage("1?"), calls(1), ToolMessage("shipped", tool_call_id="call_1")]
        history(stack, unique).add_messages(said)
        history(stack, unique).add_ai_message("It has been shipped.")

        assert history(stack, unique).messages == [*said, AIMessage("It has been shipped.")]
        assert asyncio.run(history(stack, unique).aget_messages()) == [*said, AIMessage("It has been shipped.")]

    def test_a_budget_makes_it_a_window(self, stack: Stack, unique: str) -> None:
        for number in range(20):
            said = [HumanMessage(f"{number}?"), calls(number), ToolMessage("shipped", tool_call_id=f"call_{number}")]
            history(stack, unique).add_messages(said)

        window = history(stack, unique, budget=50).messages

        assert_valid(window)
        assert 3 < len(window) < 20
        assert window == asyncio.run(history(stack, unique, budget=50).aget_messages())

    def test_more_than_an_append_takes(self, stack: Stack, unique: str) -> None:
        said: list[BaseMessage] = [HumanMessage(f"{number}") for number in range(2500)]

        history(stack, unique).add_messages(said)

        assert history(stack, unique).messages == said

    def test_of_two_writers_at_once_neither_is_lost(self, stack: Stack, unique: str) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: history(stack, unique).add_user_message(f"{number}"), range(40)))

        assert {message.content for message in history(stack, unique).messages} == {f"{number}" for number in range(40)}

    def test_a_chain(self, stack: Stack, unique: str, deprecated: None) -> None:
        model = Model(answers=[AIMessage("Hello."), AIMessage("Bye.")])
        prompt = ChatPromptTemplate([("system", "Be brief."), MessagesPlaceholder("past"), ("human", "{said}")])
        chain = RunnableWithMessageHistory(
            prompt | model,
            lambda session_id: history(stack, session_id, budget=1000),
            input_messages_key="said",
            history_messages_key="past",
        )

        for said in ("Hi!", "Bye!"):
            chain.invoke({"said": said}, {"configurable": {"session_id": unique}})

        assert [message.text for message in model.sent[1]] == ["Be brief.", "Hi!", "Hello.", "Bye!"]
        assert [message.text for message in history(stack, unique).messages] == ["Hi!", "Hello.", "Bye!", "Bye."]


@pytest.mark.usefixtures("hasty")
def test_it_does_what_memory_does(stack: Stack, deprecated: None) -> None:
    """A differential machine, both ways to call it, through broken connections."""

    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.kata, self.memory = history(stack, uuid4().hex), InMemoryChatMessageHistory()

        @rule(said=st.lists(messages, max_size=4), awaited=st.booleans())
        def add(self, said: list[BaseMessage], awaited: bool) -> None:
            self.memory.add_messages(said)
            if awaited:
                asyncio.run(self.kata.aadd_messages(said))
            else:
                self.kata.add_messages(said)

        @rule(awaited=st.booleans())
        def clear(self, awaited: bool) -> None:
            self.memory.clear()
            if awaited:
                asyncio.run(self.kata.aclear())
            else:
                self.kata.clear()

        @rule(faults=st.lists(st.sampled_from([None, "cut-after", "cut-before", "cut-within"]), max_size=2))
        def trouble(self, faults: list[Any]) -> None:
            stack.faults(*faults)

        @invariant()
        def they_are_the_same(self) -> None:
            assert self.kata.messages == self.memory.messages
            assert asyncio.run(self.kata.aget_messages()) == self.memory.messages
            assert str(self.kata) == str(self.memory)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=5, stateful_step_count=8, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )

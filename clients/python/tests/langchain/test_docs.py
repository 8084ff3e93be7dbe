"""The blocks of the document run as they stand, with a model that knows the shop."""

import re
from typing import Any

import pytest
from langchain.agents import factory
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from tests import snippets
from tests.conftest import ROOT, Stack
from tests.langchain.fakes import Model, assert_valid


class Shop(Model):
    """Looks up each order that it is asked about, and knows what it was asked."""

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        assert_valid(messages)
        asked = [message.text for message in messages if isinstance(message, HumanMessage)]
        numbers = [int(number) for text in asked for number in re.findall(r"order (\d+)", text)]
        if isinstance(messages[-1], ToolMessage):
            answer = AIMessage("It has been shipped.")
        elif "Which one" in asked[-1]:
            answer = AIMessage(f"It was order {numbers[-1]}.")
        elif "first" in asked[-1]:
            answer = AIMessage(asked[0])
        else:
            find = {"name": "find_order", "args": {"number": numbers[-1]}, "id": f"call_{len(numbers)}"}
            answer = AIMessage("", tool_calls=[find])
        return ChatResult(generations=[ChatGeneration(message=answer)])


def test_five_minutes_for_langchain(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    def shop(name: str) -> BaseChatModel:
        assert name == "openai:gpt-4o"
        return Shop()

    monkeypatch.setenv("KATA_CONTEXT_URL", stack.proxy)  # which keeps no connections open
    monkeypatch.setattr(factory, "init_chat_model", shop)

    snippets.run(ROOT / "docs/clients/langchain.md")

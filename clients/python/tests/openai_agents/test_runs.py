"""Agents that talk in a session, with a model that says what it is told to."""

import asyncio
import random
from typing import Any

import pytest
from agents import Agent, RunConfig, Runner, function_tool
from agents.memory import SessionSettings
from agents.testing import ModelStep, ScriptedModel, assistant_message, function_call

from kata_context import AsyncClient
from kata_context.openai_agents import KataSession
from tests.conftest import Stack
from tests.openai_agents.conftest import Open, Run

TURNS = 100


@function_tool
def find_order(number: int) -> str:
    """Finds an order."""
    return f"order {number} has been shipped"


def turn(number: int) -> list[ModelStep]:
    """What the model says in a turn: two calls at once, and an answer."""
    calls = [
        function_call(
            "find_order", {"number": number}, call_id=f"call_{number}_{letter}", item_id=f"fc_{number}_{letter}"
        )
        for letter in "ab"
    ]
    said = assistant_message(f"It is shipped, {number}.", item_id=f"msg_{number}")
    return [ModelStep(output=calls), ModelStep(output=[said])]


def agent(*numbers: int) -> Agent[Any]:
    steps = [step for number in numbers for step in turn(number)]
    return Agent(name="Shop", instructions="Be brief.", model=ScriptedModel(steps), tools=[find_order])


class Listed:
    """The session that ours is held against: a list."""

    def __init__(self) -> None:
        self.session_id = "list"
        self.session_settings: SessionSettings | None = None
        self.items: list[Any] = []

    async def get_items(self, limit: int | None = None) -> list[Any]:
        return self.items if limit is None else self.items[-limit:]

    async def add_items(self, items: list[Any]) -> None:
        self.items = self.items + items

    async def pop_item(self) -> Any:
        raise AssertionError

    async def clear_session(self) -> None:
        raise AssertionError


def talk(run: Run, session: Any, *numbers: int, **arguments: Any) -> Agent[Any]:
    """Turns of a conversation; the agent, whose model has been asked twice in each."""
    shop = agent(*numbers)
    for number in numbers:
        done = run(Runner.run(shop, f"Where is order {number}?", session=session, **arguments))
        assert done.final_output == f"It is shipped, {number}."
    return shop


def asked(shop: Agent[Any]) -> list[Any]:
    assert isinstance(shop.model, ScriptedModel)
    return [call.input for call in shop.model.calls]


class TestRuns:
    def test_a_run_stores_and_sends_what_it_does_with_a_list(self, run: Run, session: KataSession) -> None:
        listed = Listed()

        assert asked(talk(run, session, 1, 2, 3)) == asked(talk(run, listed, 1, 2, 3))
        assert run(session.get_items()) == listed.items
        assert len(listed.items) == 18

    def test_a_run_begins_with_the_window(self, run: Run, opened: Open) -> None:
        session = opened(budget=100)
        shop = talk(run, session, *range(10))
        first = asked(shop)[-2]

        assert first[-1] == {"role": "user", "content": "Where is order 9?"}
        assert 2 < len(first) < 20
        assert first[:-1] == run(session.get_items(100))[-len(first) - 5 : -6]

    def test_a_runs_own_limit_gets_exactly_so_many(self, run: Run, opened: Open) -> None:
        session = opened(budget=100)
        talk(run, session, 1, 2)
        shop = talk(run, session, 3, run_config=RunConfig(session_settings=SessionSettings(limit=1)))

        assert [item.get("content") for item in asked(shop)[0]][1:] == ["Where is order 3?"]
        assert len(asked(shop)[0]) == 2

    def test_a_run_streams(self, run: Run, session: KataSession) -> None:
        async def stream() -> Any:
            result = Runner.run_streamed(agent(1), "Where is order 1?", session=session)
            async for _ in result.stream_events():
                pass
            return result.final_output

        assert run(stream()) == "It is shipped, 1."
        assert len(run(session.get_items())) == 6

    def test_a_question_is_edited_by_two_pops(self, run: Run, session: KataSession) -> None:
        talk(run, session, 1, 2)
        while (item := run(session.pop_item())) and item.get("role") != "user":
            pass
        talk(run, session, 3)

        questions = [item["content"] for item in run(session.get_items()) if item.get("role") == "user"]
        assert questions == ["Where is order 1?", "Where is order 3?"]


class TestKilled:
    @pytest.mark.parametrize("seed", [1])
    def test_a_conversation_of_100_turns_survives_a_server_that_is_killed(
        self, run: Run, stack: Stack, opened: Open, seed: int
    ) -> None:
        """Killed at random moments of every 15th turn or so; the list never is."""
        chance = random.Random(seed)
        listed = Listed()
        session = opened(client=AsyncClient(stack.proxy, max_retries=12), budget=500)

        async def kill() -> None:
            await asyncio.sleep(chance.random() / 20)
            await asyncio.to_thread(stack.kill, chance.random())

        async def converse() -> None:
            for number in range(TURNS):
                killing = [asyncio.create_task(kill())] if chance.random() < 0.06 else []
                done = await Runner.run(agent(number), f"Where is order {number}?", session=session)
                assert done.final_output == f"It is shipped, {number}."
                await asyncio.gather(*killing)
                await session.get_items(1)  # it is back, and can be killed again

        run(converse())
        talk(run, listed, *range(TURNS))
        assert run(session.get_items(10 * TURNS)) == listed.items
        assert any(seen["status"] is None for seen in stack.seen())

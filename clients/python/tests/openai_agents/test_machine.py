"""A session beside a list: whatever is done to both, by two who have the same id, they say the same."""

import asyncio
from typing import Any, ClassVar
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from kata_context import AsyncClient
from kata_context.openai_agents import KataSession
from tests.conftest import Stack
from tests.openai_agents.test_session import STRANGE, answer, result, said

CALLS = ["call_1", "call_2"]

items = st.lists(
    st.one_of(
        st.builds(said, st.integers(0, 3)),
        st.sampled_from(STRANGE),
        st.sampled_from(CALLS).map(result),
        st.sampled_from([*answer("call_1", "a"), *answer("call_2"), {"type": "compaction", "encrypted_content": "x"}]),
        st.builds(
            lambda text, role: {"type": "message", "role": role, "content": text},
            st.text(),
            st.sampled_from(["user", "assistant", "system"]),
        ),
        st.dictionaries(st.text(), st.none() | st.integers() | st.floats(allow_nan=False) | st.text(), max_size=3),
    ),
    max_size=6,
)


class Sessions(RuleBasedStateMachine):
    """Two sessions of one id, and the list that they are to be."""

    stack: ClassVar[Stack]

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.client = AsyncClient(self.stack.url)
        session_id = uuid4().hex
        self.sessions = [KataSession(session_id, self.client) for _ in range(2)]
        self.items: list[Any] = []

    @rule(who=st.integers(0, 1), items=items)
    def add(self, who: int, items: list[Any]) -> None:
        self.runner.run(self.sessions[who].add_items(items))
        self.items += items

    @rule(who=st.integers(0, 1), count=st.integers(1, 4))
    def pop(self, who: int, count: int) -> None:
        for _ in range(count):
            assert self.runner.run(self.sessions[who].pop_item()) == (self.items.pop() if self.items else None)

    @rule(who=st.integers(0, 1))
    def clear(self, who: int) -> None:
        self.runner.run(self.sessions[who].clear_session())
        self.items = []

    @rule(who=st.integers(0, 1), limit=st.integers(-1, 9))
    def limited(self, who: int, limit: int) -> None:
        assert self.runner.run(self.sessions[who].get_items(limit)) == (self.items[-limit:] if limit > 0 else [])

    @invariant()
    def is_the_list(self) -> None:
        assert self.runner.run(self.sessions[0].get_items()) == self.items

    def teardown(self) -> None:
        self.runner.run(self.client.close())
        self.runner.close()


def test_a_session_is_a_list(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sessions, "stack", stack, raising=False)
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    run_state_machine_as_test(
        Sessions,
        settings=settings(max_examples=40, stateful_step_count=12, deadline=None, suppress_health_check=checks),
    )

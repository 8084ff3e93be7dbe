"""Which messages a window holds: the rule in plain Python, and the code held against it."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lib import windows
from lib.windows import Candidate, Missing

SHAPES = json.loads((Path(__file__).parent.parent / "data" / "transcript-shapes.json").read_text())


@dataclass(frozen=True)
class Turn:
    """A message as the rule sees it."""

    tokens: int
    calls: list[str] = field(default_factory=list)
    answers: str | None = None


def rule(history: list[Turn], budget: int) -> list[int]:
    """The versions of a window, by the definition: written to be read, not to be fast."""

    def call_of(answer: int) -> int | None:
        callers = [v for v in range(1, answer) if history[answer - 1].answers in history[v - 1].calls]
        return max(callers, default=None)

    def is_whole(first: int) -> bool:
        """Whether no unit is split: no answer from first on has its call before."""
        calls = [call_of(version) for version in range(first, len(history) + 1) if history[version - 1].answers]
        return not any(call is not None and call < first for call in calls)

    def fits(first: int) -> bool:
        return sum(turn.tokens for turn in history[first - 1 :]) <= budget

    whole = [version for version in range(1, len(history) + 1) if is_whole(version)]
    fitting = [first for first in whole if fits(first)]
    opened_by_no_answer = [first for first in fitting if history[first - 1].answers is None]
    first = min(opened_by_no_answer or fitting or [max(whole)])
    return list(range(first, len(history) + 1))


def chosen(history: list[Turn], budget: int) -> list[int]:
    """The versions that the code chooses when it is given the whole history."""
    candidates = [
        Candidate(version, turn.tokens, turn.calls or None, turn.answers, "{}")
        for version, turn in enumerate(history, 1)
    ]
    orphans: set[str] = set()
    while isinstance(opening := windows.choose(candidates, budget, orphans), Missing):
        orphans |= opening.call_ids
    return [candidate.version for candidate in candidates[opening:]]


IDS = st.sampled_from("abc")
TURN = st.one_of(
    st.builds(Turn, st.integers(0, 5)),
    st.builds(Turn, st.integers(0, 5), calls=st.lists(IDS, min_size=1, max_size=3)),
    st.builds(Turn, st.integers(0, 5), answers=IDS),
)
HISTORY = st.lists(TURN, min_size=1, max_size=14)


@pytest.fixture(scope="module")
def store(database: psycopg.Connection[Any]) -> Callable[[list[Turn]], UUID]:
    """Stores a history as a new context, past the API."""

    def store(history: list[Turn]) -> UUID:
        context_id = uuid4()
        total = sum(turn.tokens for turn in history)
        database.execute(
            "INSERT INTO contexts (id, message_count, latest_version, total_tokens) VALUES (%s, %s, %s, %s)",
            [context_id, len(history), len(history), total],
        )
        rows = [
            (
                context_id,
                version,
                "tool" if turn.answers else "assistant" if turn.calls else "user",
                json.dumps([{"id": call} for call in turn.calls]) if turn.calls else None,
                turn.calls or None,
                turn.answers,
                turn.tokens,
                running,
            )
            for version, (turn, running) in enumerate(
                zip(history, accumulate(turn.tokens for turn in history), strict=True), 1
            )
        ]
        database.cursor().executemany(
            """
            INSERT INTO messages (context_id, version, role, content, tool_calls, call_ids, tool_call_id, token_count,
                cumulative_tokens, created_at)
            VALUES (%s, %s, %s, '"x"', %s, %s, %s, %s, %s, now())
            """,
            rows,
        )
        return context_id

    return store


class TestRule:
    """Windows against the definition, over random histories and budgets."""

    @settings(max_examples=1500, deadline=None)
    @given(HISTORY, st.integers(1, 40))
    @example([Turn(1), Turn(1, calls=["a"]), Turn(1), Turn(9, answers="a")], 5)
    def test_holds_for_the_choice(self, history: list[Turn], budget: int) -> None:
        assert chosen(history, budget) == rule(history, budget)

    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(history=HISTORY, budgets=st.lists(st.integers(1, 40), min_size=1, max_size=5))
    def test_holds_for_what_is_read(
        self,
        store: Callable[[list[Turn]], UUID],
        connect: Callable[[], Any],
        run: Callable[[Awaitable[Any]], Any],
        history: list[Turn],
        budgets: list[int],
    ) -> None:
        context_id = store(history)

        async def read() -> list[list[int]]:
            async with connect() as conn:
                found = [await windows.read(conn, context_id, budget=budget) for budget in budgets]
                return [[message.version for message in window.messages] for window in found]

        assert run(read()) == [rule(history, budget) for budget in budgets]

    @pytest.mark.parametrize("shape", SHAPES, ids=[f"transcript {n}" for n in range(len(SHAPES))])
    def test_holds_for_a_real_transcript_at_every_budget(self, shape: list[Any]) -> None:
        history = [Turn(turn[0], *turn[1:]) for turn in shape]
        total = sum(turn.tokens for turn in history)
        expected: list[int] = []
        sums = {total - running for running in accumulate(turn.tokens for turn in history)} | {total}

        for budget in range(1, total + 2):
            # The rule's answer can change only where the budget reaches the sum of another run of messages.
            if not expected or budget in sums:
                expected = rule(history, budget)
            assert chosen(history, budget) == expected

"""Compactions at once: whoever makes or undoes one waits for the writer before, and decides by what that has left."""

import asyncio
import json
import os
import re
from collections.abc import Awaitable, Callable, Sequence
from itertools import batched
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib import compactions, contexts, errors, messages, windows
from lib.models import MAX_BATCH, Append, Idempotency
from scripts.chaos import rule
from tests.lib import races

Run = Callable[[Awaitable[Any]], Any]
Conn = psycopg.AsyncConnection[Any]


async def append(conn: Conn, context_id: UUID, *new: dict[str, Any]) -> None:
    body = json.dumps({"messages": new})
    batch = Append.model_validate_json(body).messages
    await messages.append(conn, context_id, body=body, batch=batch, token_counts=[10] * len(batch))


async def history(conn: Conn, *new: dict[str, Any]) -> UUID:
    """A new context with these messages, or four of a user's."""
    context_id = (await contexts.create(conn, body="{}")).id
    for batch in batched(new or [USER] * 4, MAX_BATCH):
        await append(conn, context_id, *batch)
    return context_id


async def make(conn: Conn, context_id: UUID, through: int = 2, **members: Any) -> compactions.Made:
    members = {"body": "{}", "summary": "s", "role": "user", "token_count": 1, **members}
    return await compactions.make(conn, context_id, through_version=through, **members)


async def behind(first: Conn, work: Awaitable[Any], waiting: Awaitable[Any]) -> Any:
    """The result of waiting, or its problem; it waited for first's work to be committed."""
    try:
        return await races.behind(first, work, waiting)
    except errors.Problem as problem:
        return problem


async def stored(conn: Conn, context_id: UUID) -> list[dict[str, Any]]:
    """All compactions, oldest first."""
    rows = await compactions.page(conn, context_id, limit=1000)
    return [json.loads(row.json) for row in reversed(rows)]


def calls(*ids: str) -> dict[str, Any]:
    made = [{"id": call_id, "type": "function", "function": {"name": "f", "arguments": "{}"}} for call_id in ids]
    return {"role": "assistant", "toolCalls": made}


USER = {"role": "user", "content": "x"}
ANSWER = {"role": "tool", "content": "x", "toolCallId": "a"}
CALL = calls("a")
KEY = Idempotency("k", b"same")


class TestMake:
    @pytest.mark.parametrize("members", [{}, {"expected_number": 0}, {"expected_number": 0, "idempotency": KEY}])
    def test_is_one_statement_and_one_round_trip(
        self, connect: Any, run: Run, tmp_path: Path, members: dict[str, Any]
    ) -> None:
        """As libpq's own trace of the connection shows: one Sync is one round trip."""
        trace = tmp_path / "trace"

        async def traced() -> None:
            async with connect() as conn:
                context_id = await history(conn)
                descriptor = os.open(trace, os.O_CREAT | os.O_WRONLY)
                conn.pgconn.trace(descriptor)
                await make(conn, context_id, **members)
                conn.pgconn.untrace()
                os.close(descriptor)

        run(traced())
        sent = re.findall(r"^[-0-9]+ [:.0-9]+\tF\t[0-9]+\t(\w+)", trace.read_text(), re.MULTILINE)
        assert sent == ["Parse", "Bind", "Describe", "Execute", "Sync"]

    def test_of_one_who_expected_none_is_refused_behind_another(self, connect: Any, run: Run) -> None:
        async def race() -> Any:
            async with connect() as first, connect() as second:
                context_id = await history(first)
                refused = await behind(
                    first,
                    make(first, context_id, expected_number=0),
                    make(second, context_id, expected_number=0),
                )
                return refused, await stored(first, context_id)

        refused, made = run(race())
        assert isinstance(refused, errors.CompactionConflict)
        assert refused.members == {"currentNumber": 1}
        assert [compaction["number"] for compaction in made] == [1]

    def test_of_one_who_expected_nothing_is_based_on_the_one_before(self, connect: Any, run: Run) -> None:
        async def race() -> Any:
            async with connect() as first, connect() as second:
                context_id = await history(first)
                await behind(first, make(first, context_id), make(second, context_id))
                return await stored(first, context_id)

        assert [(made["number"], made["basedOn"]) for made in run(race())] == [(1, 0), (2, 1)]

    def test_of_one_who_expected_the_one_that_is_undone_meanwhile_is_refused(self, connect: Any, run: Run) -> None:
        async def race() -> Any:
            async with connect() as first, connect() as second:
                context_id = await history(first)
                await make(first, context_id)
                return await behind(
                    first, compactions.undo(first, context_id, 1), make(second, context_id, expected_number=1)
                )

        refused = run(race())
        assert isinstance(refused, errors.CompactionConflict)
        assert refused.members == {"currentNumber": 0}

    @pytest.mark.parametrize("members", [{}, {"expected_number": 0}])
    def test_with_the_same_key_gets_the_first_answer(self, connect: Any, run: Run, members: dict[str, Any]) -> None:
        async def race(fingerprint: bytes) -> Any:
            async with connect() as first, connect() as second:
                context_id = await history(first)
                other = Idempotency(KEY.key, fingerprint)
                made = await behind(
                    first,
                    make(first, context_id, idempotency=KEY, **members),
                    make(second, context_id, idempotency=other, **members),
                )
                return made, await stored(first, context_id)

        made, [only] = run(race(b"same"))
        assert (made.replayed, made.number, json.loads(made.json)) == (True, 1, only)
        refused, [_] = run(race(b"other"))
        assert isinstance(refused, errors.IdempotencyKeyReused)

    def test_reaches_messages_that_are_committed_meanwhile(self, connect: Any, run: Run) -> None:
        async def race() -> Any:
            async with connect() as first, connect() as second:
                context_id = await history(first)
                return await behind(first, append(first, context_id, USER), make(second, context_id, 5))

        made = json.loads(run(race()).json)
        assert (made["throughVersion"], made["madeAtVersion"]) == (5, 5)

    def test_sees_an_answer_that_is_committed_meanwhile(self, connect: Any, run: Run) -> None:
        """Which ends the unit, so that the call alone is no longer one."""

        async def race(through: int) -> Any:
            async with connect() as first, connect() as second:
                context_id = await history(first, USER, CALL)
                return await behind(first, append(first, context_id, ANSWER), make(second, context_id, through))

        assert json.loads(run(race(3)).json)["throughVersion"] == 3
        refused = run(race(2))
        assert isinstance(refused, errors.InvalidBody)
        assert refused.places[0].detail.endswith("the nearest to it are 1 and 3")

    def test_is_refused_within_a_unit_that_grows_meanwhile(self, connect: Any, run: Run) -> None:
        async def race() -> Any:
            async with connect() as first, connect() as second:
                context_id = await history(first, USER, CALL, ANSWER)
                return await behind(first, append(first, context_id, ANSWER), make(second, context_id, 3))

        assert isinstance(run(race()), errors.InvalidBody)

    def test_does_not_find_a_context_that_is_deleted_meanwhile(self, connect: Any, run: Run) -> None:
        async def race() -> Any:
            async with connect() as first, connect() as second:
                context_id = await history(first)
                return await behind(first, contexts.delete(first, context_id), make(second, context_id))

        assert isinstance(run(race()), errors.ContextNotFound)

    def test_lets_an_append_wait_and_then_be_stored(self, connect: Any, run: Run) -> None:
        async def race() -> Any:
            async with connect() as first, connect() as second:
                context_id = await history(first)
                await behind(first, make(first, context_id), append(second, context_id, USER))
                return await contexts.read(first, context_id), await stored(first, context_id)

        context, [made] = run(race())
        assert (context.latest_version, made["madeAtVersion"]) == (5, 4)

    def test_rolled_back_uses_no_number(self, connect: Any, run: Run) -> None:
        async def rolled_back() -> Any:
            async with connect() as conn:
                context_id = await history(conn)
                before = await windows.read(conn, context_id, overrides={"budget": 100})
                async with conn.transaction(force_rollback=True):
                    await make(conn, context_id)
                after = await windows.read(conn, context_id, overrides={"budget": 100})
                return before, after, (await make(conn, context_id)).number

        before, after, number = run(rolled_back())
        assert (after, number) == (before, 1)

    def test_that_is_refused_uses_no_number(self, connect: Any, run: Run) -> None:
        async def refused() -> Any:
            async with connect() as conn:
                context_id = await history(conn)
                for members in ({"through": 9}, {"expected_number": 7}):
                    with pytest.raises((errors.InvalidBody, errors.CompactionConflict)):
                        await make(conn, context_id, **members)
                return (await make(conn, context_id)).number

        assert run(refused()) == 1

    def test_that_breaks_a_rule_of_the_table_is_a_fault_of_ours(self, connect: Any, run: Run) -> None:
        async def broken() -> None:
            async with connect() as conn:
                await make(conn, await history(conn), token_count=-1)

        with pytest.raises(psycopg.errors.CheckViolation):
            run(broken())


def seen_by_the_rule(history: Sequence[dict[str, Any]]) -> list[rule.Message]:
    empty = {"toolCalls": None, "toolCallId": None, "tokenCount": 10}
    return rule.history([{**empty, **message} for message in history])


def outcome(history: Sequence[dict[str, Any]], through: int) -> str:
    """What the rule has of a compaction through a version: reached, or what the refusal says."""
    seen = seen_by_the_rule(history)
    if rule.can_reach(seen, through):
        return "reached"
    near = [str(version) for version in rule.nearest(seen, through)]
    if not near:
        return "none is near it"
    return f"the nearest to it {'is' if len(near) == 1 else 'are'} {' and '.join(near)}"


async def reached(conn: Conn, context_id: UUID, through: int) -> str:
    """The same as it happens."""
    try:
        await make(conn, context_id, through)
    except errors.InvalidBody as problem:
        return problem.places[0].detail.partition(": ")[2]
    return "reached"


IDS = st.sampled_from("abc")
MESSAGES = st.one_of(
    st.just(USER),
    st.lists(IDS, min_size=1, max_size=2).map(lambda ids: calls(*ids)),
    IDS.map(lambda call_id: {**ANSWER, "toolCallId": call_id}),
    st.just({"role": "system", "content": "x"}),
)
HISTORIES = st.tuples(
    st.sampled_from([0, 0, 1, 2, 15, 16, 17]).map(lambda count: [{"role": "system", "content": "x"}] * count),
    st.lists(MESSAGES, max_size=12),
).map(lambda parts: [*parts[0], *parts[1]])


class TestReach:
    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(history_=HISTORIES.filter(bool))
    def test_is_what_the_definition_says_and_what_is_nearest_is_named(
        self, connect: Any, run: Run, history_: list[dict[str, Any]]
    ) -> None:
        throughs = range(1, len(history_) + 3)

        async def reach() -> list[str]:
            async with connect() as conn:
                context_id = await history(conn, *history_)
                return [await reached(conn, context_id, through) for through in throughs]

        assert run(reach()) == [outcome(history_, through) for through in throughs]

    @pytest.mark.parametrize("orphans", [999, 1000, 1001, 1500])
    def test_is_the_end_of_a_unit_of_1_001_messages_at_most(self, connect: Any, run: Run, orphans: int) -> None:
        history_ = [USER, *[{**ANSWER, "toolCallId": "gone"}] * orphans, USER]

        async def reach() -> str:
            async with connect() as conn:
                return await reached(conn, await history(conn, *history_), orphans + 1)

        assert run(reach()) == outcome(history_, orphans + 1)

    @pytest.mark.parametrize("pending", [998, 999, 1000])
    @pytest.mark.parametrize("orphans", [0, 1000])
    def test_names_versions_within_1_000_to_both_sides(
        self, connect: Any, run: Run, orphans: int, pending: int
    ) -> None:
        """Before lies a unit that is as long as one may be, or short; behind it calls wait for their answers."""
        before = [USER, USER, *[{**ANSWER, "toolCallId": "gone"}] * orphans]
        history_ = [*before, *[CALL] * pending, USER]
        throughs = [len(before) + 1, len(before) + 2, len(before) + pending]

        async def reach() -> list[str]:
            async with connect() as conn:
                context_id = await history(conn, *history_)
                return [await reached(conn, context_id, through) for through in throughs]

        assert run(reach()) == [outcome(history_, through) for through in throughs]


class TestDue:
    @pytest.mark.parametrize("keep", [0, 5_000, 10_000, 10_020, 15_000])
    @pytest.mark.parametrize("middle", [[CALL] * 999, [CALL] * 1000])
    @pytest.mark.parametrize("orphans", [1000, 1001])
    def test_is_found_within_1_000_versions(
        self, connect: Any, run: Run, orphans: int, middle: list[dict[str, Any]], keep: int
    ) -> None:
        """And the newest unit, or the one that keepTokens end in, among as many."""
        unit = [USER, *[{**ANSWER, "toolCallId": "gone"}] * orphans]
        policy = {"budget": 20_000, "compactionDue": {"threshold": 0.001, "keepTokens": keep}}

        async def due(*history_: dict[str, Any]) -> Any:
            async with connect() as conn:
                context_id = await history(conn, *history_)
                return (await windows.read(conn, context_id, overrides=policy, content=False)).figures["compactionDue"]

        for history_ in ([USER, *unit, *middle, USER], [USER, *middle, *unit], [USER, *unit, USER, USER]):
            assert run(due(*history_)) == rule.due(seen_by_the_rule(history_), policy, None)


class TestUndo:
    def test_of_two_at_once_happens_once(self, connect: Any, run: Run) -> None:
        async def race() -> Any:
            async with connect() as first, connect() as second:
                context_id = await history(first)
                await make(first, context_id)
                again = await behind(
                    first, compactions.undo(first, context_id, 1), compactions.undo(second, context_id, 1)
                )
                return json.loads(again.json), await stored(first, context_id)

        again, [only] = run(race())
        assert again == only
        assert only["undoneAt"]

    def test_waits_for_one_who_makes_the_next(self, connect: Any, run: Run) -> None:
        async def race() -> Any:
            async with connect() as first, connect() as second:
                context_id = await history(first)
                await make(first, context_id)
                await behind(
                    first, make(first, context_id, 4, expected_number=1), compactions.undo(second, context_id, 1)
                )
                return await stored(first, context_id)

        assert [(made["number"], made["basedOn"], bool(made["undoneAt"])) for made in run(race())] == [
            (1, 0, True),
            (2, 1, False),
        ]


class TestWindows:
    def test_of_readers_at_once_never_show_half_of_a_compaction(self, connect: Any, run: Run) -> None:
        """Each window is one statement, and so one moment."""

        async def race() -> list[Any]:
            async with connect() as conn:
                context_id = await history(conn)
            seen: list[Any] = []
            done = asyncio.Event()

            async def read() -> None:
                async with connect() as conn:
                    while not done.is_set():
                        seen.append(await windows.read(conn, context_id, overrides={"budget": 100}))

            readers = [asyncio.create_task(read()) for _ in range(3)]
            async with connect() as conn:
                for number in range(1, 31):
                    await make(conn, context_id, 1 + number % 4)
                    await compactions.undo(conn, context_id, number)
            done.set()
            await asyncio.gather(*readers)
            return seen

        by_etag: dict[str, Any] = {}
        for window in run(race()):
            compaction = window.figures["compaction"]
            covered = compaction["throughVersion"] if compaction else 0
            assert len(window.texts) == bool(compaction) + 4 - covered
            assert bool(compaction) == window.revision % 2
            assert by_etag.setdefault(window.etag, window) == window

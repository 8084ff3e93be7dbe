"""Which call a tool message answers: settled once, when it is stored, as the version of the call."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib import contexts, errors, messages
from lib.models import Append

Run = Callable[[Awaitable[Any]], Any]
Conn = psycopg.AsyncConnection[Any]
Database = psycopg.Connection[Any]

USER = {"role": "user", "content": "x"}


def calls(*ids: str) -> dict[str, Any]:
    made = [{"id": call_id, "type": "function", "function": {"name": "f", "arguments": "{}"}} for call_id in ids]
    return {"role": "assistant", "toolCalls": made}


def answer(call_id: str) -> dict[str, Any]:
    return {"role": "tool", "content": "x", "toolCallId": call_id, "metadata": {"of": f"é {call_id}"}}


async def append(conn: Conn, context_id: UUID, *new: dict[str, Any]) -> messages.Appended:
    body = json.dumps({"messages": new})
    batch = Append.model_validate_json(body).messages
    return await messages.append(conn, context_id, body=body, batch=batch, token_counts=[1] * len(batch))


def answered(database: Database, context_id: UUID) -> list[int | None]:
    """The versions of the calls that tool messages answer, oldest first; the bytes of their metadata are right."""
    found = database.execute(
        "SELECT call_version, metadata_bytes, octet_length(metadata::text) FROM messages"
        " WHERE context_id = %s AND role = 'tool' ORDER BY version",
        [context_id],
    ).fetchall()
    assert all(stored == size for _, stored, size in found)
    return [version for version, _, _ in found]


class TestAppend:
    @pytest.fixture
    def of(self, connect: Any, run: Run, database: Database) -> Callable[..., list[int | None]]:
        """What the tool messages of a new context answer, that has been appended to in these batches."""

        async def appended(batches: tuple[list[dict[str, Any]], ...]) -> UUID:
            async with connect() as conn:
                context_id: UUID = (await contexts.create(conn, body="{}")).id
                for batch in batches:
                    await append(conn, context_id, *batch)
                return context_id

        return lambda *batches: answered(database, run(appended(batches)))

    def test_finds_calls_in_the_batch(self, of: Any) -> None:
        assert of([calls("a", "b"), answer("b"), USER, answer("a")]) == [1, 1]

    def test_finds_calls_before_the_batch(self, of: Any) -> None:
        assert of([USER, calls("a", "b")], [answer("b")], [USER, answer("a")]) == [2, 2]

    def test_finds_several_at_once_wherever_they_are(self, of: Any) -> None:
        """In the batch, just before it, far before it, and nowhere."""
        far, near = [calls("far"), *[USER] * 500], [calls("near", "twin"), USER]
        batch = [answer("none"), answer("far"), calls("here"), answer("near"), answer("here"), answer("twin")]

        assert of(far, near, batch) == [0, 1, 502, 506, 502]

    def test_finds_the_newest_of_a_reused_id(self, of: Any) -> None:
        assert of([calls("a"), calls("a"), answer("a")]) == [2]
        assert of([calls("a"), answer("a"), calls("a"), answer("a")]) == [1, 3]
        assert of([calls("a")], [calls("a")], [answer("a")]) == [2]
        assert of([calls("a")], [answer("a"), calls("a"), answer("a")]) == [1, 3]
        assert of([calls("a"), *[USER] * 100, calls("a"), *[USER] * 100], [answer("a")]) == [102]

    def test_finds_one_call_of_two_with_the_same_id(self, of: Any) -> None:
        assert of([calls("a", "a"), answer("a"), answer("a")]) == [1, 1]

    def test_finds_no_call_behind_the_answer(self, of: Any) -> None:
        assert of([answer("a"), calls("a")]) == [0]
        assert of([answer("a")], [calls("a")]) == [0]

    def test_finds_no_call_of_another_context(self, of: Any) -> None:
        of([calls("elsewhere")])

        assert of([answer("elsewhere")]) == [0]

    def test_takes_an_orphan_for_0(self, of: Any) -> None:
        assert of([answer("a")]) == [0]
        assert of([calls("b"), answer("a"), answer("a")], [USER], [answer("a")]) == [0, 0, 0]

    def test_takes_an_answer_for_no_call(self, of: Any) -> None:
        assert of([answer("a"), answer("a")]) == [0, 0]

    def test_leaves_other_messages_without(self, of: Any, database: Database, run: Run, connect: Any) -> None:
        of([USER, calls("a"), answer("a")])

        others = database.execute("SELECT count(*) FROM messages WHERE role <> 'tool' AND call_version IS NOT NULL")
        assert others.fetchone() == (0,)

    @pytest.mark.parametrize(
        "split",
        [
            [1, 999, 1],  # the answer alone
            [1, 1000],  # the answer last of a full batch
            [1, 998, 2],
            [500, 501],
            [20, 981],
            [999, 2],
            [1000, 1],
        ],
    )
    def test_finds_a_call_1000_versions_before_and_none_1001_before(self, of: Any, split: list[int]) -> None:
        """However batches divide them."""

        def batches(history: list[dict[str, Any]], sizes: list[int]) -> Iterator[list[dict[str, Any]]]:
            rest = iter(history)
            for size in sizes:
                yield [next(rest) for _ in range(size)]

        near = [calls("a"), *[USER] * 999, answer("a")]
        far = [calls("a"), *[USER] * 1000, answer("a")]

        assert of(*batches(near, split)) == [1]
        assert of([far[0]], *batches(far[1:], split)) == [0]
        assert of([USER] * 7, *batches(near, split)) == [8]

    def test_finds_a_call_999_versions_before_in_one_batch(self, of: Any) -> None:
        assert of([calls("a"), *[USER] * 998, answer("a")]) == [1]

    @pytest.mark.parametrize("before", [18, 19, 20, 21])
    def test_finds_a_call_about_20_versions_before(self, of: Any, before: int) -> None:
        """The newest 20 are looked through first."""
        assert of([USER, calls("a"), *[USER] * (before - 1)], [answer("a")]) == [2]
        assert of([calls("a"), *[USER] * 30, calls("a"), *[USER] * (before - 1)], [answer("a")]) == [32]

    def test_finds_each_of_an_answer_in_and_out_of_reach(self, of: Any) -> None:
        """Of one id, looked for once for the whole batch."""
        assert of([calls("a"), *[USER] * 998], [answer("a"), USER, answer("a")]) == [1, 0]

    def test_takes_sql_for_text(self, of: Any) -> None:
        name = "'; DROP TABLE messages; --\" {,\\ %(x)s NULL"

        assert of([calls(name)], [answer(name), answer("NULL")]) == [1, 0]


class TestRace:
    def test_an_answer_sent_while_its_call_is_committed_names_it(
        self, connect: Any, run: Run, database: Database
    ) -> None:
        """The statement that waits for the row lock has a snapshot in which there is no call."""

        async def race(before: int) -> UUID:
            async with connect() as first, connect() as second:
                context_id: UUID = (await contexts.create(first, body="{}")).id
                if before:
                    await append(first, context_id, *[USER] * before)
                async with first.transaction():
                    await append(first, context_id, calls("a", "b"))
                    waiting = asyncio.create_task(append(second, context_id, answer("b"), USER, answer("a")))
                    await asyncio.sleep(0.2)
                    assert not waiting.done()
                await waiting
                return context_id

        for before in (0, 40):
            assert answered(database, run(race(before))) == [before + 1, before + 1]

    def test_an_answer_names_the_newer_of_two_calls_where_that_is_committed_meanwhile(
        self, connect: Any, run: Run, database: Database
    ) -> None:
        async def race() -> UUID:
            async with connect() as first, connect() as second:
                context_id: UUID = (await contexts.create(first, body="{}")).id
                await append(first, context_id, calls("a"))
                async with first.transaction():
                    await append(first, context_id, calls("a"))
                    waiting = asyncio.create_task(append(second, context_id, answer("a")))
                    await asyncio.sleep(0.2)
                    assert not waiting.done()
                await waiting
                return context_id

        assert answered(database, run(race())) == [2]

    def test_an_answer_whose_call_is_rolled_back_is_an_orphan(self, connect: Any, run: Run, database: Database) -> None:
        async def race() -> UUID:
            async with connect() as first, connect() as second:
                context_id: UUID = (await contexts.create(first, body="{}")).id
                async with first.transaction(force_rollback=True):
                    await append(first, context_id, calls("a"))
                    waiting = asyncio.create_task(append(second, context_id, answer("a")))
                    await asyncio.sleep(0.2)
                    assert not waiting.done()
                await waiting
                return context_id

        assert answered(database, run(race())) == [0]

    def test_a_time_before_that_of_a_message_committed_meanwhile_is_refused(self, connect: Any, run: Run) -> None:
        """It is looked for behind the row lock as well."""

        async def race() -> None:
            async with connect() as first, connect() as second:
                context_id: UUID = (await contexts.create(first, body="{}")).id
                async with first.transaction():
                    await append(first, context_id, {**USER, "createdAt": "2024-01-02T00:00:00Z"})
                    earlier = {**USER, "createdAt": "2024-01-01T00:00:00Z"}
                    waiting = asyncio.create_task(append(second, context_id, earlier))
                    await asyncio.sleep(0.2)
                    assert not waiting.done()
                await waiting

        with pytest.raises(errors.InvalidBody):
            run(race())


# As the release before appends: it knows nothing of call_version.
BEFORE = """
WITH context AS (
    UPDATE contexts
    SET message_count = message_count + %(count)s, latest_version = latest_version + %(count)s
    WHERE id = %(context_id)s
    RETURNING id, latest_version - %(count)s AS base_version
)
INSERT INTO messages
    (context_id, version, role, content, tool_calls, call_ids, tool_call_id, token_count, cumulative_tokens, created_at)
SELECT context.id, base_version + position, role, content, tool_calls,
    (SELECT array_agg(call ->> 'id') FROM json_array_elements(tool_calls) AS call), tool_call_id, 0, 0, now()
FROM context, ROWS FROM (
    json_to_recordset(%(messages)s::json) AS (role text, content json, "toolCalls" json, "toolCallId" text)
) WITH ORDINALITY AS batch (role, content, tool_calls, tool_call_id, position)
"""


def before(context_id: UUID, *new: dict[str, Any]) -> dict[str, Any]:
    return {"context_id": context_id, "count": len(new), "messages": json.dumps(new)}


class TestReleaseBefore:
    """What it inserts meanwhile, the database settles."""

    @pytest.fixture
    def context_id(self, connect: Any, run: Run) -> UUID:
        async def create() -> UUID:
            async with connect() as conn:
                context_id: UUID = (await contexts.create(conn, body="{}")).id
                return context_id

        made: UUID = run(create())
        return made

    def test_calls_of_the_same_statement_are_found(self, database: Database, context_id: UUID) -> None:
        batch = [answer("a"), calls("a", "b"), answer("b"), USER, calls("a"), answer("a"), answer("none")]

        database.execute(BEFORE, before(context_id, *batch))

        assert answered(database, context_id) == [0, 2, 5, 0]

    def test_calls_of_a_statement_before_are_found(self, database: Database, context_id: UUID) -> None:
        database.execute(BEFORE, before(context_id, USER, calls("a")))
        database.execute(BEFORE, before(context_id, answer("a")))

        assert answered(database, context_id) == [2]

    def test_calls_1000_versions_before_are_found_and_none_1001_before(
        self, database: Database, context_id: UUID
    ) -> None:
        database.execute(BEFORE, before(context_id, calls("far"), calls("near"), *[USER] * 999))
        database.execute(BEFORE, before(context_id, answer("near"), answer("far")))

        assert answered(database, context_id) == [2, 0]

    def test_other_messages_have_none(self, database: Database, context_id: UUID) -> None:
        database.execute(BEFORE, before(context_id, USER, calls("a"), answer("a")))

        rows = database.execute(
            "SELECT call_version FROM messages WHERE context_id = %s AND role <> 'tool'", [context_id]
        ).fetchall()
        assert rows == [(None,), (None,)]

    def test_an_answer_sent_while_its_call_is_committed_names_it(
        self, connect: Any, run: Run, database: Database, context_id: UUID
    ) -> None:
        """The call comes from either release."""

        async def race(number: int, call: Callable[[Conn], Awaitable[Any]]) -> None:
            async with connect() as first, connect() as second:
                async with first.transaction():
                    await call(first)
                    insert = second.execute(BEFORE, before(context_id, answer(f"a {number}")))
                    waiting = asyncio.create_task(insert)
                    await asyncio.sleep(0.2)
                    assert not waiting.done()
                await waiting

        run(race(1, lambda conn: append(conn, context_id, calls("a 1"))))
        run(race(2, lambda conn: conn.execute(BEFORE, before(context_id, calls("a 2")))))

        assert answered(database, context_id) == [1, 3]

    def test_what_is_settled_already_is_left_as_it_is(self, database: Database, context_id: UUID) -> None:
        """Or an append would be looked for twice."""
        database.execute(BEFORE, before(context_id, calls("a"), calls("a")))
        database.execute(
            """
            INSERT INTO messages (context_id, version, role, content, tool_call_id, call_version, metadata_bytes,
                token_count, cumulative_tokens, created_at)
            VALUES (%s, 3, 'tool', '"x"', 'a', 1, 2, 0, 0, now())
            """,
            [context_id],
        )

        assert answered(database, context_id) == [1]


IDS = st.sampled_from("abcd")
HISTORIES = st.lists(
    st.one_of(st.just(USER), st.lists(IDS, min_size=1, max_size=2).map(lambda ids: calls(*ids)), IDS.map(answer)),
    max_size=60,
)


class TestRule:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(history=HISTORIES, batches=st.lists(st.tuples(st.integers(1, 30), st.booleans()), max_size=12))
    def test_is_the_newest_call_before_however_it_was_stored(
        self,
        connect: Any,
        run: Run,
        database: Database,
        *,
        history: list[dict[str, Any]],
        batches: list[tuple[int, bool]],
    ) -> None:
        """In batches of any size, by this release or by the one before."""

        async def store() -> UUID:
            async with connect() as conn:
                context_id: UUID = (await contexts.create(conn, body="{}")).id
                rest = history
                for size, by_the_one_before in [*batches, (len(history), False)]:
                    batch, rest = rest[:size], rest[size:]
                    if batch and by_the_one_before:
                        await conn.execute(BEFORE, before(context_id, *batch))
                    elif batch:
                        await append(conn, context_id, *batch)
                return context_id

        newest: dict[str, int] = {}
        expected = []
        for version, message in enumerate(history, 1):
            if message["role"] == "tool":
                expected.append(newest.get(message["toolCallId"], 0))
            newest.update((call["id"], version) for call in message.get("toolCalls", ()))

        assert answered(database, run(store())) == expected


class TestRules:
    @pytest.mark.parametrize(
        ("role", "call_version"), [("user", 0), ("user", 1), ("tool", -1), ("tool", 2), ("tool", 3)]
    )
    def test_of_the_table_take_only_a_call_before_and_only_of_an_answer(
        self, connect: Any, run: Run, database: Database, role: str, call_version: int
    ) -> None:
        async def create() -> UUID:
            async with connect() as conn:
                context_id: UUID = (await contexts.create(conn, body="{}")).id
                return context_id

        insert = """
            INSERT INTO messages (context_id, version, role, content, tool_call_id, call_version, metadata_bytes,
                token_count, cumulative_tokens, created_at)
            VALUES (%s, 2, %s, '"x"', %s, %s, 2, 0, 0, now())
        """
        with pytest.raises(psycopg.errors.CheckViolation, match="messages_call_version_check"):
            database.execute(insert, [run(create()), role, "a" if role == "tool" else None, call_version])

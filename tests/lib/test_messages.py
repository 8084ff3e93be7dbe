"""An append is one statement, one round trip and one row lock, however many write at once."""

import asyncio
import json
import os
import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from lib import contexts, errors, messages
from lib.models import Append, Idempotency

Run = Callable[[Awaitable[Any]], Any]
Connect = Callable[[], Any]


def batch(size: int, times: Sequence[datetime | None] = ()) -> dict[str, Any]:
    given = [time and time.isoformat() for time in times] or [None] * size
    body = json.dumps({"messages": [{"role": "user", "content": "x", "createdAt": time} for time in given]})
    return {"body": body, "batch": Append.model_validate_json(body).messages, "token_counts": [3] * size}


class TestAppend:
    @pytest.mark.parametrize(
        "conditions",
        [
            {},
            {"idempotency": Idempotency("k", b"f")},
            {"expected_versions": [0], "idempotency": Idempotency("k", b"f")},
        ],
    )
    def test_is_one_statement_and_one_round_trip(
        self, connect: Connect, run: Run, tmp_path: Path, conditions: dict[str, Any]
    ) -> None:
        """As libpq's own trace of the connection shows: one Sync is one round trip."""
        trace = tmp_path / "trace"

        async def append() -> None:
            async with connect() as conn:
                context = await contexts.create(conn, body="{}")
                descriptor = os.open(trace, os.O_CREAT | os.O_WRONLY)
                conn.pgconn.trace(descriptor)
                await messages.append(conn, context.id, **batch(100), **conditions)
                conn.pgconn.untrace()
                os.close(descriptor)

        run(append())
        sent = re.findall(r"^[-0-9]+ [:.0-9]+\tF\t[0-9]+\t(\w+)", trace.read_text(), re.MULTILINE)
        assert sent == ["Parse", "Bind", "Describe", "Execute", "Sync"]

    def test_of_32_connections_at_once_leaves_no_gap_and_counts_right(
        self, connect: Connect, run: Run, database: psycopg.Connection[Any]
    ) -> None:
        async def race() -> tuple[UUID, list[list[int | None]]]:
            async with connect() as conn:
                context = await contexts.create(conn, body="{}")

            async def writer(number: int) -> list[list[int | None]]:
                async with connect() as conn:
                    return [
                        [row.version for row in (await messages.append(conn, context.id, **batch(1 + i % 4))).rows]
                        for i in range(12)
                    ]

            written = await asyncio.gather(*(writer(number) for number in range(32)))
            return context.id, [versions for batches in written for versions in batches]

        context_id, batches = run(race())

        stored = database.execute(
            "SELECT version, cumulative_tokens, created_at FROM messages WHERE context_id = %s ORDER BY version",
            [context_id],
        ).fetchall()
        count = sum(len(versions) for versions in batches)
        assert sorted(version for versions in batches for version in versions if version) == list(range(1, count + 1))
        for versions in batches:
            assert versions == list(range(versions[0] or 0, (versions[0] or 0) + len(versions)))
        assert [row[0] for row in stored] == list(range(1, count + 1))
        assert [row[1] for row in stored] == [3 * version for version in range(1, count + 1)]
        assert [row[2] for row in stored] == sorted(row[2] for row in stored)
        counters = database.execute(
            "SELECT message_count, latest_version, total_tokens FROM contexts WHERE id = %s", [context_id]
        ).fetchone()
        assert counters == (count, count, 3 * count)

    def test_waits_for_the_writer_before_and_stores_behind_it(
        self, connect: Connect, run: Run, database: psycopg.Connection[Any]
    ) -> None:
        async def race() -> tuple[bool, messages.Appended]:
            async with connect() as first, connect() as second:
                context = await contexts.create(first, body="{}")
                async with first.transaction():
                    await messages.append(first, context.id, **batch(2))
                    waiting = asyncio.create_task(messages.append(second, context.id, **batch(1)))
                    await asyncio.sleep(0.2)
                    waited = not waiting.done()
                return waited, await waiting

        waited, appended = run(race())

        assert waited
        assert [row.version for row in appended.rows] == [3]

    def test_rolled_back_leaves_nothing(self, connect: Connect, run: Run) -> None:
        async def rolled_back() -> tuple[Any, Any]:
            async with connect() as conn:
                context = await contexts.create(conn, body="{}")
                async with conn.transaction(force_rollback=True):
                    await messages.append(conn, context.id, **batch(5))
                return context, await contexts.read(conn, context.id)

        before, after = run(rolled_back())
        assert after.json == before.json

    def test_updates_the_contexts_row_in_place(
        self, connect: Connect, run: Run, database: psycopg.Connection[Any]
    ) -> None:
        """HOT: no index is touched, so a context that is written to all day does not bloat."""

        async def append() -> None:
            async with connect() as conn:
                context = await contexts.create(conn, body="{}")
                for _ in range(200):
                    await messages.append(conn, context.id, **batch(1))
                await conn.execute("SELECT pg_stat_force_next_flush()")

        def updates() -> tuple[int, int]:
            row = database.execute(
                "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'contexts'"
            ).fetchone()
            assert row
            return row[0], row[1]

        database.execute("SELECT pg_stat_force_next_flush()")
        before = updates()
        run(append())
        after = updates()

        assert after[0] - before[0] >= 200
        assert after[1] - before[1] >= 0.95 * (after[0] - before[0])

    def test_to_an_unknown_context_stores_nothing(self, connect: Connect, run: Run) -> None:
        async def append() -> None:
            async with connect() as conn:
                await messages.append(conn, uuid4(), **batch(1))

        with pytest.raises(errors.ContextNotFound):
            run(append())

    def test_that_breaks_a_rule_of_the_table_is_a_fault_of_ours(self, connect: Connect, run: Run) -> None:
        async def append() -> None:
            async with connect() as conn:
                context = await contexts.create(conn, body="{}")
                await messages.append(conn, context.id, **{**batch(2), "token_counts": [3, -1]})

        with pytest.raises(psycopg.errors.CheckViolation):
            run(append())

    def test_of_a_retry_is_not_held_against_the_time_that_has_passed(self, connect: Connect, run: Run) -> None:
        """Times that were right when the first request came: a minute later they are not, and the batch is stored."""
        key = Idempotency("k", b"f")

        async def again(first: list[datetime | None], later: list[datetime | None]) -> messages.Appended:
            async with connect() as conn:
                context = await contexts.create(conn, body="{}")
                await messages.append(conn, context.id, **batch(2, first), idempotency=key)
                return await messages.append(conn, context.id, **batch(2, later), idempotency=key)

        now = datetime.now(UTC)
        soon, past, future = now + timedelta(seconds=30), now - timedelta(hours=1), now + timedelta(hours=1)
        batches: list[tuple[list[datetime | None], list[datetime | None]]] = [
            ([None, soon], [None, past]),
            ([past, now], [past, now]),
            ([now, soon], [soon, future]),
        ]
        for first, later in batches:
            appended = run(again(first, later))
            assert (appended.replayed, appended.version) == (True, 2)

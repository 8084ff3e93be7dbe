"""Keys of requests in flight: the second of two that claim one key stores nothing and gets the first's answer."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from lib import contexts, errors, messages
from lib.models import Holder, Idempotency, NewMessage
from tests.lib.races import behind

Run = Callable[[Awaitable[Any]], Any]
BATCH: dict[str, Any] = {
    "body": json.dumps({"messages": [{"role": "user", "content": "x"}]}),
    "batch": [NewMessage(role="user", content="x")],
    "token_counts": [1],
}


class TestClaims:
    def test_of_a_context_wait_for_each_other(self, connect: Any, run: Run) -> None:
        async def race(fingerprint: bytes) -> Any:
            async with connect() as first, connect() as second:
                key = Idempotency(f"race {fingerprint.hex()}", b"same")
                other = Idempotency(key.key, fingerprint)
                return await behind(
                    first,
                    contexts.create(first, body='{"name": "n"}', idempotency=key),
                    contexts.create(second, body='{"name": "n"}', idempotency=other),
                )

        row = run(race(b"same"))
        assert row.origin == "replayed"
        assert json.loads(row.json)["name"] == "n"
        with pytest.raises(errors.IdempotencyKeyReused):
            run(race(b"other"))

    def test_of_an_append_wait_for_each_other(self, connect: Any, run: Run) -> None:
        async def race() -> Any:
            async with connect() as first, connect() as second:
                context = await contexts.create(first, body="{}")
                key = Idempotency("k", b"same")
                appended = await behind(
                    first,
                    messages.append(first, context.id, **BATCH, idempotency=key),
                    messages.append(second, context.id, **BATCH, idempotency=key),
                )
                return appended, await contexts.read(first, context.id)

        appended, context = run(race())
        assert appended.replayed
        assert (appended.rows[0].version, context.latest_version) == (1, 1)

    def test_are_told_from_a_damaged_history(self, connect: Any, run: Run, database: psycopg.Connection[Any]) -> None:
        """A version that is there although the counters deny it is an error, and no replay."""

        async def append() -> None:
            async with connect() as conn:
                context = await contexts.create(conn, body="{}")
                database.execute(
                    """
                    INSERT INTO messages
                        (context_id, version, role, content, token_count, cumulative_tokens, created_at)
                    VALUES (%s, 1, 'user', '"x"', 1, 1, now())
                    """,
                    [context.id],
                )
                await messages.append(conn, context.id, **BATCH)

        with pytest.raises(psycopg.errors.UniqueViolation):
            run(append())


class TestExternalIds:
    def test_that_are_swapped_are_tried_again_after_a_deadlock(self, connect: Any, run: Run) -> None:
        async def race() -> None:
            async with connect() as first, connect() as second:
                name = f"swapped {uuid4()}"
                a, b = [(await contexts.create(first, body="{}")).id for _ in "ab"]
                async with first.transaction():
                    # The other one is the one that PostgreSQL ends.
                    await first.execute("SET LOCAL deadlock_timeout = '60s'")
                    await contexts.update(first, b, body=json.dumps({"externalId": name}))
                    waiting = asyncio.create_task(contexts.update(second, a, body=json.dumps({"externalId": name})))
                    await asyncio.sleep(0.2)
                    await contexts.update(first, a, body='{"name": "first"}')
                with pytest.raises(errors.ExternalIdTaken):
                    await waiting

        run(race())

    def test_that_are_given_between_a_refusal_and_its_reason_are_taken(
        self, connect: Any, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        name, check = f"given {uuid4()}", contexts._check_holder

        async def race() -> str:
            async with connect() as first, connect() as second:
                taker, holder = [(await contexts.create(first, body="{}")).id for _ in "ab"]

                async def checked(*arguments: Any) -> None:
                    await contexts.update(first, holder, body=json.dumps({"externalId": name}))
                    await check(*arguments)

                monkeypatch.setattr(contexts, "_check_holder", checked)
                taken = await contexts.update(second, taker, body="{}", holder=Holder(contextId=str(holder)))
                return str(json.loads(taken.json)["externalId"])

        assert run(race()) == name


class TestRules:
    def test_of_the_table_that_are_broken_are_a_fault_of_ours(self, connect: Any, run: Run) -> None:
        async def create() -> None:
            async with connect() as conn:
                await contexts.create(conn, body=json.dumps({"name": "x" * 256}))

        with pytest.raises(psycopg.errors.CheckViolation):
            run(create())

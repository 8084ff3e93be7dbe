"""Behind PgBouncer in transaction mode, as behind Neon's pooler: two server connections for any number of processes."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from lib import db, errors
from scripts.stack.pgbouncer import PgBouncer, pgbouncer

ROOT = Path(__file__).parents[2]
PROCESSES = 4
ROUNDS = 60

# What one serverless process does: many requests at once over a pool of three, each one borrowing a connection.
WORKER = f"""
import asyncio, json, sys
from lib import contexts, db, health, messages, windows
from lib.models import Append

BODY = json.dumps({{"messages": [{{"role": "user", "content": "x"}}] * 3}})
BATCH = Append.model_validate_json(BODY).messages

async def one(context_id):
    async with db.connection() as conn:
        await messages.append(conn, context_id, body=BODY, batch=BATCH, token_counts=[1, 2, 3])
    async with db.connection() as conn:
        assert len((await messages.page(conn, context_id, limit=5)).rows) >= 3
    async with db.connection() as conn:
        assert (await windows.read(conn, context_id, overrides={{"budget": 6}})).texts
        return conn.prepare_threshold

async def main():
    async with db.connection() as conn:
        context = await contexts.create(conn, body="{{}}")
    prepared = set()
    for _ in range({ROUNDS} // 6):
        prepared |= set(await asyncio.gather(*(one(context.id) for _ in range(6))))
    async with db.connection() as conn:
        final = await contexts.read(conn, context.id)
    await db.close()
    print(json.dumps([final.latest_version, [threshold is not None for threshold in prepared]]))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def pooler(database_url: str) -> Iterator[PgBouncer]:
    with pgbouncer(database_url, pool_size=2) as pooler:
        yield pooler


@pytest.fixture
def through_pooler(pooler: PgBouncer, configure: Callable[..., None]) -> None:
    """Gives this test's own process a pool that goes through the pooler."""
    configure(DATABASE_URL=pooler.url)


async def query(statement: str) -> Any:
    async with db.connection() as conn:
        return await (await conn.execute(statement.encode())).fetchone()


def test_several_processes_share_two_connections_without_an_error(pooler: PgBouncer) -> None:
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": pooler.url},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(PROCESSES)
    ]

    outputs = [worker.communicate(timeout=120)[0] for worker in workers]

    assert [worker.returncode for worker in workers] == [0] * PROCESSES
    # Every message is there, and no statement was prepared: its name could be another client's.
    assert [json.loads(output) for output in outputs] == [[3 * ROUNDS, [False]]] * PROCESSES


def test_no_setting_and_no_statement_is_left_for_the_next_client(pooler: PgBouncer) -> None:
    with psycopg.connect(pooler.url) as first, psycopg.connect(pooler.url) as second:
        first.prepare_threshold = second.prepare_threshold = None
        for conn in (first, second):  # two open transactions: both of the pooler's server connections
            assert conn.execute("SELECT name, statement FROM pg_prepared_statements").fetchall() == []
            assert conn.execute("SELECT classid FROM pg_locks WHERE locktype = 'advisory'").fetchall() == []
            settings = conn.execute("SELECT name FROM pg_settings WHERE source = 'session'").fetchall()
            assert {name for (name,) in settings} <= {"application_name"}


def test_a_statement_that_takes_too_long_is_cancelled_on_the_server(
    through_pooler: None,
    database: psycopg.Connection[Any],
    run: Callable[[Awaitable[Any]], Any],
    configure: Callable[..., None],
) -> None:
    configure(DATABASE_TIMEOUT_MS="300")

    async def too_long() -> None:
        with pytest.raises(errors.DatabaseTimeout):
            await query("SELECT pg_sleep(20), 'too long'")
        assert await query("SELECT 1") == (1,)
        await db.close()

    run(too_long())
    running = database.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%%too long%%' AND pid <> %s",
        [database.info.backend_pid],
    ).fetchone()
    assert running == (0,)


def test_a_restart_of_the_pooler_costs_no_request_afterwards(
    pooler: PgBouncer, through_pooler: None, run: Callable[[Awaitable[Any]], Any]
) -> None:
    async def restart() -> Any:
        await asyncio.gather(*(query("SELECT pg_sleep(0.05)") for _ in range(3)))
        await asyncio.to_thread(pooler.restart)
        try:
            return await asyncio.gather(*(query("SELECT 1") for _ in range(3)))
        finally:
            await db.close()

    assert run(restart()) == [(1,)] * 3


def test_through_a_pooler_statements_are_prepared_only_on_demand(
    through_pooler: None, run: Callable[[Awaitable[Any]], Any], configure: Callable[..., None]
) -> None:
    async def threshold() -> int | None:
        async with db.connection() as conn:
            found = conn.prepare_threshold
        await db.close()
        return found

    assert run(threshold()) is None
    configure(DATABASE_PREPARED_STATEMENTS="on")
    assert run(threshold()) == db.PREPARE_THRESHOLD

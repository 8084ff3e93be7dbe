"""Two connections of which one waits for the other: what was not committed when a request began."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import psycopg

# In pg_locks, as pg_stat_activity stays as it was for the length of a transaction.
WAITED_FOR = """
SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))
"""


async def behind(first: psycopg.AsyncConnection[Any], work: Awaitable[Any], waiting: Awaitable[Any]) -> Any:
    """The result of waiting, which waited for first's work to be committed."""
    async with first.transaction():
        await work
        task = asyncio.ensure_future(waiting)
        while not (await first.execute(WAITED_FOR)).rowcount:
            assert not task.done()
    return await task

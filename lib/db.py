"""The process's connection pool, and the one place that maps psycopg's errors to ours.

The pool points at Neon's pooler (PgBouncer in transaction mode), so nothing here may set session state or send
options at startup. Connections are in autocommit: a statement is one round trip.
"""

import asyncio
import logging
import select
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from lib import config, errors
from lib.errors import Problem

type Connection = AsyncConnection[tuple[Any, ...]]

# Seconds to connect, and then to be ready for use: less than the pool's timeout, so that a host that drops packets is
# told from a busy pool. Both have an end, as the pool makes one connection at a time, and all requests wait for it; the
# end of the latter takes psycopg up to 10 s more, in which it tries to cancel the question.
CONNECT_TIMEOUT = 4

# Seconds without use after which connections are taken for dead: a frozen function's TCP connections die unseen, and
# finding out one by one costs up to 3 s each (measured; dropping all of them costs 4 ms).
IDLE_GAP = 30.0

# Uses of a statement on one connection after which it is prepared: psycopg's default.
PREPARE_THRESHOLD = 5

# The driver's own lines name hosts and users, and are no JSON; what matters of them is in the request's line.
logging.getLogger("psycopg").propagate = False
logging.getLogger("psycopg").addHandler(logging.NullHandler())

_pool: AsyncConnectionPool[Connection] | None = None
_last_used = 0.0


@dataclass(slots=True)
class Stopwatch:
    """Milliseconds that one request spent waiting for a connection and using it."""

    ms: float = 0.0


stopwatch: ContextVar[Stopwatch] = ContextVar("stopwatch")


@asynccontextmanager
async def connection() -> AsyncIterator[Connection]:
    """A connection in autocommit, back in the pool afterwards.

    Raises NotConfigured, PoolExhausted, DatabaseTimeout, DatabaseUnavailable, MigrationsPending, and
    InvalidRequest for a value that the database cannot take.
    """
    started = time.perf_counter()
    failures = _failures()
    try:
        # psycopg cancels the statement when the time is up, which needs no session state and so works through poolers.
        async with asyncio.timeout(config.settings().timeout_seconds), (await _ready()).connection() as conn:
            try:
                yield conn
            finally:
                # One that died is seldom alone: each of the others would fail a request of its own.
                if conn.closed and _pool:
                    await _pool.drain()
    except (psycopg.Error, TimeoutError) as error:
        if problem := _problem(error, more_failures=_failures() > failures):
            raise problem from error
        raise
    finally:
        if watch := stopwatch.get(None):
            watch.ms += (time.perf_counter() - started) * 1000


async def close() -> None:
    """Closes every connection; the next use opens a new pool."""
    global _pool
    pool, _pool = _pool, None
    if pool:
        await pool.close()


async def _ready() -> AsyncConnectionPool[Connection]:
    """The pool, opened in the running event loop, without connections that died while the process was frozen."""
    global _pool, _last_used
    now = time.time()
    gap, _last_used = now - _last_used, now
    if _pool is None:
        settings = config.settings()
        _pool = AsyncConnectionPool(
            settings.database_url,
            kwargs={
                "autocommit": True,
                "application_name": "kata-context",
                "connect_timeout": CONNECT_TIMEOUT,
                # A peer that is gone is found out within 3 s where it does not acknowledge what was sent, and within 6
                # where it has, and only its answer is missing (measured; 107 s with the system's interval and 30).
                "tcp_user_timeout": 3000,
                "keepalives_idle": 5,
                "keepalives_interval": 1,
                "prepare_threshold": None,
            },
            configure=_configure,
            check=_check,
            min_size=0,
            max_size=settings.pool_size,
            timeout=5,
            max_waiting=50,
            max_idle=60,
            max_lifetime=600,
            reconnect_timeout=10,
            open=False,
            name="kata-context",
        )
        await _pool.open()
    elif gap > IDLE_GAP:
        await _pool.drain()
    return _pool


async def _configure(conn: Connection) -> None:
    """Turns prepared statements on where they are safe: behind an older PgBouncer a name may be another client's."""
    settings = config.settings()
    mode = settings.prepared_statements
    if mode == "auto":
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                mode = "on" if settings.on_neon or await _is_direct(conn) else "off"
        except BaseException:
            await conn.close()  # the pool has not taken it yet
            raise
    if mode == "on":
        conn.prepare_threshold = PREPARE_THRESHOLD


async def _is_direct(conn: Connection) -> bool:
    """Whether no pooler stands between: a pooler tells its clients process ids of its own making."""
    [(backend_pid,)] = await (await conn.execute("SELECT pg_backend_pid()")).fetchall()
    return bool(backend_pid == conn.info.backend_pid)


async def _check(conn: Connection) -> None:
    """Raises OperationalError for a connection that the server has closed; costs a system call and no round trip.

    An idle connection has nothing to read but its end (or a notice, which costs no more than a new connection). Where
    one has died the others will have too, and the pool would wait for a second or two after each that it tries.
    """
    poll = select.poll()
    poll.register(conn.fileno(), select.POLLIN)
    if poll.poll(0):
        if _pool:
            await _pool.drain()
        raise psycopg.OperationalError("the server has closed the connection")


def _problem(error: Exception, *, more_failures: bool) -> Problem | None:
    """What a client is told of error; None for a fault of ours. more_failures: the pool could not connect meanwhile."""
    problem: Problem | None = None
    match error:
        case PoolTimeout() if more_failures:
            problem = errors.DatabaseUnavailable()
        case PoolTimeout() | TooManyRequests():
            problem = errors.PoolExhausted()
        case TimeoutError() | psycopg.errors.QueryCanceled():
            problem = errors.DatabaseTimeout()
        case (
            psycopg.errors.UndefinedTable()
            | psycopg.errors.UndefinedColumn()
            | psycopg.errors.UndefinedFunction()
            | psycopg.errors.InvalidColumnReference()  # an index that ON CONFLICT names
        ):
            problem = errors.MigrationsPending()
        case psycopg.DataError():
            # Every check before it has let the value through.
            problem = errors.InvalidRequest("the database cannot take a value of this request: nothing was stored")
        case psycopg.OperationalError():
            problem = errors.DatabaseUnavailable()
    return problem


def _failures() -> int:
    """How often the pool has failed to make a connection."""
    return _pool.get_stats().get("connections_errors", 0) if _pool else 0

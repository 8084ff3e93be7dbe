"""The pool: what it raises in psycopg's place, and that nothing is lost on the way."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from lib import db, errors

Run = Callable[[Awaitable[Any]], Any]


async def query(statement: str = "SELECT 1") -> Any:
    async with db.connection() as conn:
        return await (await conn.execute(statement.encode())).fetchone()


class TestConnection:
    def test_is_in_autocommit(self, configure: Any, run: Run, database_url: str) -> None:
        configure(DATABASE_URL=database_url)

        async def status() -> Any:
            async with db.connection() as conn:
                await conn.execute("SELECT 1")
                found = conn.info.transaction_status
            return found  # noqa: RET504 - read while the connection is held

        assert run(closing(status())) == psycopg.pq.TransactionStatus.IDLE

    def test_counts_the_milliseconds_it_was_held(self, configure: Any, run: Run, database_url: str) -> None:
        configure(DATABASE_URL=database_url)

        async def held() -> float:
            watch = db.Stopwatch()
            db.stopwatch.set(watch)
            await query("SELECT pg_sleep(0.05)")
            return watch.ms

        assert run(closing(held())) >= 50

    def test_of_a_pool_that_is_busy_raises_pool_exhausted(
        self, configure: Any, run: Run, database_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        configure(DATABASE_URL=database_url, DATABASE_POOL_SIZE="1")

        async def burst() -> list[Any]:
            return await asyncio.gather(*(query("SELECT pg_sleep(0.02)") for _ in range(60)), return_exceptions=True)

        results = run(closing(burst()))
        refused = [result for result in results if isinstance(result, errors.PoolExhausted)]
        assert len(results) - len(refused) == results.count(("",))
        assert len(refused) >= 1

    def test_is_one_of_the_pools_few_and_gone_when_that_is_closed(
        self, configure: Any, run: Run, database_url: str, database: psycopg.Connection[Any]
    ) -> None:
        configure(DATABASE_URL=database_url)

        async def burst() -> set[int]:
            rows = await asyncio.gather(*(query("SELECT pg_backend_pid() FROM pg_sleep(0.01)") for _ in range(40)))
            return {pid for (pid,) in rows}

        pids = run(closing(burst()))
        assert 1 < len(pids) <= 3
        left = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY (%s)"
        for _ in range(100):  # a backend takes a moment to go
            if database.execute(left, [list(pids)]).fetchone() == (0,):
                break
            time.sleep(0.05)
        assert database.execute(left, [list(pids)]).fetchone() == (0,)

    def test_to_an_absent_server_raises_database_unavailable(self, configure: Any, run: Run) -> None:
        configure(DATABASE_URL="postgresql://someone:secret@127.0.0.1:1/none")

        async def several() -> list[Any]:
            return await asyncio.gather(*(query() for _ in range(5)), return_exceptions=True)

        for raised in run(closing(several())):
            assert type(raised) is errors.DatabaseUnavailable
            assert "secret" not in str(raised)
            assert raised.headers == {"Retry-After": "1"}

    @pytest.mark.parametrize(
        ("statement", "error"),
        [
            ("SELECT * FROM no_such_table", errors.MigrationsPending),
            ("SELECT no_such_column FROM contexts", errors.MigrationsPending),
            ("INSERT INTO contexts (name) VALUES ('x') ON CONFLICT (name) DO NOTHING", errors.MigrationsPending),
            ("SELECT pg_terminate_backend(pg_backend_pid())", errors.DatabaseUnavailable),
            ("SELECT '0e-16384'::jsonb", errors.InvalidRequest),
            ("SELEC 1", psycopg.errors.SyntaxError),
            ("INSERT INTO contexts (message_count) VALUES (-1)", psycopg.errors.CheckViolation),
        ],
    )
    def test_maps_what_psycopg_raises(
        self, configure: Any, run: Run, database_url: str, statement: str, error: type[Exception]
    ) -> None:
        configure(DATABASE_URL=database_url)

        with pytest.raises(error):
            run(closing(query(statement)))

    def test_that_the_server_has_closed_is_replaced_at_once(
        self, configure: Any, run: Run, database_url: str, database: psycopg.Connection[Any]
    ) -> None:
        configure(DATABASE_URL=database_url)

        async def killed() -> list[Any]:
            pids = await asyncio.gather(*(query("SELECT pg_backend_pid() FROM pg_sleep(0.05)") for _ in range(3)))
            for (pid,) in pids:
                database.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
            return [await query() for _ in range(3)]

        assert run(closing(killed())) == [(1,)] * 3

    def test_that_the_server_has_closed_is_found_out_while_the_pool_closes(
        self, configure: Any, run: Run, connect: Any, database: psycopg.Connection[Any]
    ) -> None:
        configure()

        async def check() -> None:
            async with connect() as conn:
                await db._check(conn)
                database.execute("SELECT pg_terminate_backend(%s, 5000)", [conn.info.backend_pid])
                await db._check(conn)

        with pytest.raises(psycopg.OperationalError):
            run(check())

    @pytest.mark.parametrize(
        ("mode", "threshold"), [("auto", db.PREPARE_THRESHOLD), ("on", db.PREPARE_THRESHOLD), ("off", None)]
    )
    def test_that_is_direct_prepares_statements_unless_that_is_off(
        self, configure: Any, run: Run, database_url: str, mode: str, threshold: int | None
    ) -> None:
        configure(DATABASE_URL=database_url, DATABASE_PREPARED_STATEMENTS=mode)

        async def found() -> int | None:
            async with db.connection() as conn:
                return conn.prepare_threshold

        assert run(closing(found())) == threshold

    def test_that_hangs_when_it_is_made_does_not_hold_up_later_requests(
        self, configure: Any, run: Run, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(db, "CONNECT_TIMEOUT", 1)
        folder = str(psycopg.conninfo.conninfo_to_dict(database_url)["host"])
        first = True

        async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, chunks: float) -> None:
            while chunk := await reader.read(65_536):
                if chunks > 0:
                    writer.write(chunk)
                chunks -= 1
            writer.close()

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal first
            # Behind the first chunk, which asks to connect, the first connection's server seems to fall silent.
            chunks, first = (1 if first else math.inf), False
            answers, requests = await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.5432")
            await asyncio.gather(forward(reader, requests, chunks=chunks), forward(answers, writer, chunks=math.inf))

        async def asked() -> Any:
            async with await asyncio.start_unix_server(relay, tmp_path / ".s.PGSQL.5432"):
                with pytest.raises(errors.Unavailable):
                    await query()
                with suppress(errors.Unavailable):
                    await query()
                found = await query()
                await db.close()
                return found

        configure(DATABASE_URL=database_url.replace(quote(folder), quote(str(tmp_path))))
        assert run(asked()) == (1,)

    def test_with_a_statement_that_takes_too_long_raises_database_timeout_and_cancels_it(
        self, configure: Any, run: Run, database_url: str, database: psycopg.Connection[Any]
    ) -> None:
        configure(DATABASE_URL=database_url, DATABASE_TIMEOUT_MS="300")

        with pytest.raises(errors.DatabaseTimeout):
            run(closing(query("SELECT pg_sleep(20), 'much too long'")))

        running = """
            SELECT count(*) FROM pg_stat_activity
            WHERE state = 'active' AND query LIKE '%much too long%' AND pid <> pg_backend_pid()
        """
        assert database.execute(running).fetchone() == (0,)

    def test_that_dies_in_use_takes_those_beside_it_along(self, configure: Any, run: Run, database_url: str) -> None:
        configure(DATABASE_URL=database_url)

        async def died() -> tuple[set[Any], set[Any]]:
            pids = "SELECT pg_backend_pid() FROM pg_sleep(0.05)"
            before = await asyncio.gather(*(query(pids) for _ in range(3)))
            with pytest.raises(errors.DatabaseUnavailable):
                await query("SELECT pg_terminate_backend(pg_backend_pid())")
            return set(before), set(await asyncio.gather(*(query(pids) for _ in range(3))))

        before, after = run(closing(died()))
        assert len(before) > 1
        assert not before & after

    def test_that_dies_while_the_pool_closes_is_told_as_any_other(
        self, configure: Any, run: Run, database_url: str
    ) -> None:
        configure(DATABASE_URL=database_url)

        async def died() -> None:
            async with db.connection() as conn:
                await db.close()
                await conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")

        with pytest.raises(errors.DatabaseUnavailable):
            run(closing(died()))

    def test_after_a_gap_is_a_new_one(
        self, configure: Any, run: Run, database_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        configure(DATABASE_URL=database_url)

        async def pids(gap: float) -> set[Any]:
            before = await query("SELECT pg_backend_pid()")
            monkeypatch.setattr(db, "_last_used", time.time() - gap)
            return {before, await query("SELECT pg_backend_pid()")}

        assert len(run(closing(pids(gap=0)))) == 1
        assert len(run(closing(pids(gap=db.IDLE_GAP + 1)))) == 2


async def closing(awaitable: Awaitable[Any]) -> Any:
    try:
        return await awaitable
    finally:
        await db.close()

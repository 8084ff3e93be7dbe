"""Measures against floors and prints medians and ratios: `make bench`, or `python -m scripts.bench [--million]`.

One run on an embedded PostgreSQL of its own. What is compared alternates, so ratios hold on a noisy machine where
milliseconds do not. A missed goal is no failure: the exit status is 0 unless something broke.
"""

import argparse
import asyncio
import os
import platform
import sys
import time
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection

from scripts import migrate
from scripts.bench import bundle, http, imports, sql
from scripts.bench.report import Report
from scripts.stack import postgres


async def _in_process(report: Report, url: str, *, million: bool) -> UUID:
    async with await AsyncConnection.connect(url, autocommit=True) as conn:
        print(f"Python {platform.python_version()}, {os.cpu_count()} cores, PostgreSQL {await _describe(conn)}")
        return await sql.measure(report, conn, million=million)


SETTINGS = """
SELECT concat_ws(', ', current_setting('server_version'),
    'fsync ' || current_setting('fsync'),
    'synchronous_commit ' || current_setting('synchronous_commit'))
"""


async def _describe(conn: AsyncConnection[Any]) -> str:
    cursor = await conn.execute(SETTINGS)
    text: str = (await cursor.fetchall())[0][0]
    return text


def main(arguments: list[str] | None = None) -> int:
    """The command. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench", description="Measures the API against floors.")
    parser.add_argument("--million", action="store_true", help="also a context of 1,000,000 messages")
    chosen = parser.parse_args(arguments)
    started = time.perf_counter()
    report = Report()
    with postgres.temporary() as url:
        list(migrate.up(url))
        context_id = asyncio.run(_in_process(report, url, million=chosen.million))
        http.measure(report, url, context_id)
        imports.measure(report)
        bundle.measure(report, url)
    report.summary()
    print(f"Took {time.perf_counter() - started:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

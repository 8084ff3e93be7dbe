"""Measures against floors and prints medians and ratios: `make bench`, or `python -m scripts.bench`.

One run on an embedded PostgreSQL of its own. What is compared alternates, so ratios hold on a noisy machine where
milliseconds do not. A missed goal is no failure: the exit status is 0 unless something broke. `--against REVISION`
measures against another revision of this repository instead; `--costs [FILE]` replays transcripts and no more.
"""

import argparse
import asyncio
import os
import platform
import sys
import time
from pathlib import Path
from uuid import UUID

import psycopg
from psycopg import AsyncConnection

from scripts import migrate, replay
from scripts.bench import against, bundle, costs, forks, formats, http, imports, sql, windows
from scripts.bench.report import Report
from scripts.bench.trees import RevisionError
from scripts.load import LoadError
from scripts.stack import postgres


async def _in_process(report: Report, url: str, *, million: bool) -> UUID:
    async with await AsyncConnection.connect(url, autocommit=True) as conn:
        context_id = await sql.measure(report, conn, million=million)
        await windows.measure(report, conn, million=million)
        await forks.measure(report, conn, million=million)
        await formats.measure(report, conn, context_id)
        return context_id


SETTINGS = """
SELECT concat_ws(', ', current_setting('server_version'),
    'fsync ' || current_setting('fsync'),
    'synchronous_commit ' || current_setting('synchronous_commit'))
"""


def _print_surroundings(url: str) -> None:
    with psycopg.connect(url) as conn:
        [(settings,)] = conn.execute(SETTINGS).fetchall()
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, PostgreSQL {settings}")


def _measure_all(report: Report, *, million: bool) -> None:
    with postgres.temporary() as url:
        _print_surroundings(url)
        list(migrate.up(url))
        context_id = asyncio.run(_in_process(report, url, million=million))
        asyncio.run(costs.measure(report, url))
        http.measure(report, url, context_id)
        formats.measure_http(report, url, context_id)
        imports.measure(report)
        bundle.measure(report, url)


def _measure_costs(report: Report, file: Path) -> None:
    with postgres.temporary() as url:
        list(migrate.up(url))
        asyncio.run(costs.measure(report, url, file))


def _measure_against(report: Report, revision: str) -> None:
    with postgres.temporary() as url:
        against.prepare(url)
        _print_surroundings(url)
        against.measure(report, url, revision)


def main(arguments: list[str] | None = None) -> int:
    """The command. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.bench", description="Measures the API against floors or itself."
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--million", action="store_true", help="also a context of 1,000,000 messages")
    what.add_argument("--against", metavar="REVISION", help="this tree beside another revision, and nothing else")
    what.add_argument(
        "--costs",
        nargs="?",
        type=Path,
        const=replay.TRANSCRIPTS,
        metavar="FILE",
        help="what windows cost, and nothing else, on the repository's transcripts or on others in OpenAI's chat shape",
    )
    chosen = parser.parse_args(arguments)
    started = time.perf_counter()
    report = Report()
    try:
        if chosen.against is not None:
            _measure_against(report, chosen.against)
        elif chosen.costs is not None:
            _measure_costs(report, chosen.costs)
        else:
            _measure_all(report, million=chosen.million)
    except (RevisionError, LoadError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    report.summary()
    print(f"Took {time.perf_counter() - started:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

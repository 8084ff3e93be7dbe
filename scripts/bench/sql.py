"""The bench's first section: the repositories in process, against the least that PostgreSQL and psycopg could do.

What is compared alternates, iteration by iteration and in both orders, so that a busy machine slows all of it alike.
"""

import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from statistics import median
from typing import Any
from uuid import UUID, uuid4

from psycopg import AsyncConnection
from psycopg.types.string import TextLoader

from lib import messages, web, windows
from lib.models import Append
from scripts.bench.report import Report

# Every message has this many tokens, so that 8,000 tokens are 133 messages.
TOKENS = 60
TEXT = "The agent read the file, found the failing test, and asked which of the two fixes to apply first. " * 3

BUDGET = 8000
WINDOW = BUDGET // TOKENS

PAGE = 50

# A context of 100 messages cannot fill 8,000 tokens; with 80 messages both contexts answer with as many rows.
SMALL_BUDGET = 80 * TOKENS
SMALL = 100
HOLDS_WINDOW = 140
LARGE = 100_000
MILLION = 1_000_000

WARM_UP = 20

type Subject = Callable[[int], Awaitable[object]]


async def medians(iterations: int, subjects: dict[str, Subject]) -> dict[str, float]:
    """Each subject's median in milliseconds; a subject is called with 0, 1, 2 …"""
    times: dict[str, list[float]] = {name: [] for name in subjects}
    for iteration in range(WARM_UP + iterations):
        order = list(subjects.items())
        for name, subject in order if iteration % 2 else reversed(order):
            started = time.perf_counter()
            await subject(iteration)
            times[name].append(time.perf_counter() - started)
    return {name: median(measured[WARM_UP:]) * 1000 for name, measured in times.items()}


# Turns of four: a question, an assistant's tool call, its result, the answer. The first question is a system message,
# and behind the last one the assistant asks itself: one long loop of calls.
FILL = """
WITH context AS (
    UPDATE contexts
    SET message_count = %(last)s, total_tokens = %(last)s::bigint * %(tokens)s, latest_version = %(last)s
    WHERE id = %(context_id)s
)
INSERT INTO messages (
    context_id, version, role, content, tool_calls, call_ids, tool_call_id, call_version, metadata_bytes,
    tool_name, token_count, cumulative_tokens, created_at
)
SELECT %(context_id)s, version,
    CASE WHEN version = 1 THEN 'system' WHEN turn = 0 AND version <= %(last_question)s THEN 'user'
        WHEN turn = 2 THEN 'tool' ELSE 'assistant' END,
    CASE WHEN turn <> 1 THEN to_json(%(text)s::text) END,
    CASE WHEN turn = 1 THEN json_build_array(json_build_object('id', 'call_' || version, 'type', 'function',
        'function', json_build_object('name', 'read_file',
            'arguments', json_build_object('path', %(text)s::text)::text))) END,
    CASE WHEN turn = 1 THEN ARRAY['call_' || version] END,
    CASE WHEN turn = 2 THEN 'call_' || version - 1 END,
    CASE WHEN turn = 2 THEN version - 1 END,
    CASE WHEN turn = 2 THEN octet_length('{}') END,
    CASE WHEN turn = 2 THEN 'read_file' END,
    %(tokens)s, version * %(tokens)s, now() - interval '1 second' * (%(last)s - version)
FROM (
    SELECT version, (version - 1) %% 4 AS turn FROM generate_series(%(first)s, %(last)s::bigint) AS version
) AS numbered
"""


async def fill(conn: AsyncConnection[Any], count: int, *, last_question: int | None = None) -> UUID:
    """A context of count messages of TOKENS tokens each; last_question is a version, None for no such end."""
    cursor = await conn.execute("INSERT INTO contexts DEFAULT VALUES RETURNING id")
    context_id: UUID = (await cursor.fetchall())[0][0]
    await say(conn, context_id, 1, count, last_question=last_question or count)
    return context_id


async def say(conn: AsyncConnection[Any], context_id: UUID, first: int, last: int, *, last_question: int) -> None:
    """Adds versions first to last to a context that has those before."""
    parameters = {"context_id": context_id, "first": first, "last": last, "last_question": last_question}
    await conn.execute(FILL, {**parameters, "tokens": TOKENS, "text": TEXT})


async def measure(report: Report, conn: AsyncConnection[Any], *, million: bool) -> UUID:
    """Prints the section. Returns the context of 100,000 messages, for the sections that follow."""
    contexts = {count: await fill(conn, count) for count in (SMALL, HOLDS_WINDOW, LARGE)}
    if million:
        contexts[MILLION] = await fill(conn, MILLION)
    await conn.execute("VACUUM (ANALYZE) contexts, messages")

    report.section("In process, one connection in autocommit", "median ms", "ratio", "goal", "")
    await _appends(report, conn, contexts[SMALL])
    contexts[SMALL] = await fill(conn, SMALL)
    await _window_against_tuples(report, conn, contexts[LARGE])
    await _windows_by_size(report, conn, contexts)
    await _pages(report, conn, contexts[LARGE])
    return contexts[LARGE]


# No foreign key, no checks, no index but the primary key: what any table of messages costs at least.
BARE_TABLE = """
CREATE TABLE bare (
    LIKE messages INCLUDING DEFAULTS INCLUDING GENERATED, CONSTRAINT bare_pkey PRIMARY KEY (context_id, version)
)
"""
BARE_INSERT = """
INSERT INTO bare (context_id, version, role, content, token_count, cumulative_tokens, created_at)
VALUES (%s, %s, %s, %s, %s, %s, %s)
"""


async def _appends(report: Report, conn: AsyncConnection[Any], context_id: UUID) -> None:
    await conn.execute(BARE_TABLE)
    bare_id, now, content = uuid4(), datetime.now(UTC), json.dumps(TEXT)
    turn = json.dumps({"messages": [{"role": role, "content": TEXT} for role in ("user", "assistant")]})
    batch = Append.model_validate_json(turn).messages

    async def bare(iteration: int) -> None:
        row = [bare_id, iteration, "user", content, TOKENS, TOKENS * iteration, now]
        await conn.execute(BARE_INSERT, row)

    async def ours(_: int) -> None:
        await messages.append(conn, context_id, body=turn, batch=batch, token_counts=[TOKENS] * 2)

    names = "SELECT 1", "floor: INSERT of one row, bare table and primary key only", "append of a turn of two messages"
    subjects: list[Subject] = [lambda _: conn.execute("SELECT 1"), bare, ours]
    select_ms, bare_ms, ours_ms = (await medians(1000, dict(zip(names, subjects, strict=True)))).values()
    report.row(names[0], f"{select_ms:.3f}")
    report.row(names[1], f"{bare_ms:.3f}", "1.00")
    report.at_most(names[2], f"{ours_ms:.3f}", measured=ours_ms / bare_ms, limit=2.0)


# The values that an answer shows, and the range that the window turned out to be.
TUPLES = """
SELECT id, context_id, version, role, content, tool_calls, tool_call_id, tool_name, model, metadata, token_count,
    embedding IS NOT NULL, created_at
FROM messages
WHERE context_id = %s AND version BETWEEN %s AND %s
ORDER BY version
"""


async def _window_against_tuples(report: Report, conn: AsyncConnection[Any], context_id: UUID) -> None:
    rows = [context_id, LARGE - WINDOW + 1, LARGE]

    async def tuples(_: int) -> None:
        cursor = await conn.execute(TUPLES, rows)
        assert len(await cursor.fetchall()) == WINDOW

    async def unparsed(_: int) -> None:
        cursor = conn.cursor()
        cursor.adapters.register_loader("json", TextLoader)
        await cursor.execute(TUPLES, rows)
        assert len(await cursor.fetchall()) == WINDOW

    async def ours(_: int) -> None:
        await _window(conn, context_id, BUDGET, WINDOW)

    names = (
        f"floor: the same {WINDOW} rows as plain tuples, by primary key",
        "the same, with psycopg leaving the json columns as text",
        f"window of {BUDGET:,} tokens = {WINDOW} messages, statement to JSON bytes",
    )
    tuples_ms, unparsed_ms, ours_ms = (
        await medians(400, dict(zip(names, [tuples, unparsed, ours], strict=True)))
    ).values()
    report.row(names[0], f"{tuples_ms:.3f}", "1.00")
    report.row(names[1], f"{unparsed_ms:.3f}", f"{unparsed_ms / tuples_ms:.2f}")
    report.at_most(names[2], f"{ours_ms:.3f}", measured=ours_ms / tuples_ms, limit=1.0)


async def _window(conn: AsyncConnection[Any], context_id: UUID, budget: int, expected: int) -> bytes:
    window = await windows.read(conn, context_id, overrides={"budget": budget})
    assert len(window.texts) == expected, len(window.texts)
    return web.listed(window.texts, window.figures).body


async def _windows_by_size(report: Report, conn: AsyncConnection[Any], contexts: dict[int, UUID]) -> None:
    def reading(size: int, budget: int) -> Subject:
        return lambda _: _window(conn, contexts[size], budget, budget // TOKENS)

    for budget, first in ((SMALL_BUDGET, SMALL), (BUDGET, HOLDS_WINDOW)):
        sizes = [first, *(size for size in contexts if size >= LARGE)]
        times = await medians(400, {str(size): reading(size, budget) for size in sizes})
        name = f"window of {budget:,} tokens = {budget // TOKENS} messages, in a context of"
        report.row(f"{name} {first:,}", f"{times[str(first)]:.3f}", "1.00")
        for size in sizes[1:]:
            ratio = times[str(size)] / times[str(first)]
            report.at_most(f"{name} {size:,}", f"{times[str(size)]:.3f}", measured=ratio, limit=1.2)


async def _pages(report: Report, conn: AsyncConnection[Any], context_id: UUID) -> None:
    def paging(after: int) -> Subject:
        return lambda _: page(conn, context_id, after)

    starts = {"start": 0, "middle": LARGE // 2, "end": LARGE - 51}
    times = await medians(400, {place: paging(after) for place, after in starts.items()})
    least = min(times.values())
    for place, milliseconds in times.items():
        name = f"page of {PAGE} at the {place} of {LARGE:,} messages, against the fastest"
        report.at_most(name, f"{milliseconds:.3f}", measured=milliseconds / least, limit=1.2)


async def page(conn: AsyncConnection[Any], context_id: UUID, after: int) -> bytes:
    rows, _ = await messages.page(conn, context_id, limit=PAGE, cursor=after)
    assert len(rows) == PAGE + 1, len(rows)
    return web.page(rows, PAGE, lambda row: row.version).body

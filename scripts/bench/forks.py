"""The bench's section on forks: what making one costs, and what a read pays for a lineage, by its depth and its place.

Like is compared with like: a fork reads as many messages as the context beside it, which is no fork, and it is asserted
that their windows differ in their versions alone. What is compared alternates, iteration by iteration.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from lib import contexts, forks
from scripts.bench.report import Report
from scripts.bench.sql import BUDGET, LARGE, MILLION, PAGE, SMALL, TOKENS, Subject, fill, medians, page, say
from scripts.bench.windows import LAST_QUESTION, RECOMMENDED, answering, like, reading

ITERATIONS = 300
DEPTHS = (1, 5, 20, 200)

# Messages of a level that lies before what is read, and the version behind which the newest level is far before it.
LEVEL = 2
EARLY = 1000

# Contexts without messages.
OTHERS = 10_000

# What a read through a lineage may take: so much of what it takes in a context that is no fork, and so many
# milliseconds a level.
TIMES = 1.25
LEVEL_MS = 0.010

# What is read: a window by its policy, or a page of the newest messages.
READS: Mapping[str, Mapping[str, Any] | None] = {
    "window, no policy": {"budget": BUDGET},
    "window, recommended": RECOMMENDED,
    f"page of {PAGE}": None,
}


@dataclass(frozen=True, slots=True)
class History:
    """A context of so many messages, and the version up to which it shares them with others; 0 for what is no fork."""

    context_id: UUID
    length: int
    shared: int = 0


# Where the newest level of a lineage forks → the messages of each level, of a depth where so many are read of so many.
PLACES: dict[str, Callable[[int, int, int], Sequence[int]]] = {
    "inside": lambda depth, held, _: [max(held // (depth + 1), 1)] * depth,
    "just before": lambda depth, held, _: [LEVEL] * (depth - 1) + [held],
    "far before": lambda depth, _, length: [LEVEL] * (depth - 1) + [length],
}


async def measure(report: Report, conn: AsyncConnection[Any], *, million: bool) -> None:
    """Prints the section."""
    length = MILLION if million else LARGE
    small, large = [History(await fill(conn, many, last_question=LAST_QUESTION), many) for many in (SMALL, length)]
    # Or the plans are those of a handful of contexts, which are read one by one.
    await conn.execute("INSERT INTO contexts SELECT FROM generate_series(1, %s)", [OTHERS])
    await conn.execute("VACUUM (ANALYZE) contexts, messages")
    report.section("Forks, one connection in autocommit", "median ms", "ratio", "goal", "")
    await _made(report, conn, small, large)

    lineages = await _lineages(conn, large)
    await conn.execute("VACUUM (ANALYZE) contexts, messages")
    columns = "no fork, ms", "ms", "ratio", "µs a level", "of allowed", "goal", ""
    report.section("Reads of forks, by where they fork and how deep they are", *columns)
    for what, forked in lineages.items():
        await _beside(report, conn, what, large, forked)


# No foreign key, no checks, no index but the primary key: what any table of contexts costs at least.
BARE_TABLE = """
CREATE TABLE bare_contexts (
    LIKE contexts INCLUDING DEFAULTS INCLUDING GENERATED, CONSTRAINT bare_contexts_pkey PRIMARY KEY (id)
)
"""
BARE_INSERT = """
INSERT INTO bare_contexts (metadata, policy, parent_id, fork_version, message_count, latest_version, total_tokens)
VALUES (%s, %s, %s, %s, %s, %s, %s)
"""


async def _made(report: Report, conn: AsyncConnection[Any], *parents: History) -> None:
    await conn.execute(BARE_TABLE)
    row = [Jsonb({}), Jsonb({}), parents[0].context_id, SMALL, SMALL, SMALL, SMALL * TOKENS]
    floor, created = "floor: INSERT of one row, bare table and primary key only", "a context that is no fork"
    subjects: dict[str, Subject] = {
        floor: lambda _: conn.execute(BARE_INSERT, row),
        created: lambda _: contexts.create(conn, body="{}"),
        **{f"fork of {parent.length:,} messages": _forking(conn, parent) for parent in parents},
    }
    times = await medians(1000, subjects)
    for name, milliseconds in times.items():
        ratio = milliseconds / times[floor]
        if name in (floor, created):
            report.row(name, f"{milliseconds:.3f}", f"{ratio:.2f}")
        else:
            report.at_most(name, f"{milliseconds:.3f}", measured=ratio, limit=2.0)


def _forking(conn: AsyncConnection[Any], parent: History) -> Subject:
    return lambda _: forks.fork(conn, parent.context_id, body="{}")


async def _lineages(conn: AsyncConnection[Any], large: History) -> dict[tuple[str, str], dict[int, History]]:
    """Of each read and place a fork of each depth. What they end with is as in large, of which they are forks."""
    made: dict[tuple[int, ...], History] = {}
    lineages: dict[tuple[str, str], dict[int, History]] = {}
    for read, policy in READS.items():
        held = PAGE + 1
        if policy is not None:
            figures = (await reading(conn, large.context_id, policy)()).figures
            held = figures["lastVersion"] - figures["firstVersion"] + 1
        for place, levels_of in PLACES.items():
            lineages[read, place] = {}
            for depth in DEPTHS:
                levels = tuple(levels_of(depth, held, large.length))
                if levels not in made:
                    made[levels] = await _fork(conn, large, levels)
                fork = lineages[read, place][depth] = made[levels]
                first = fork.length - held + 1
                distance = first - 1 - fork.shared
                assert {"inside": -held < distance < 0, "just before": distance == 0}.get(place, distance > LARGE // 2)
    return lineages


async def _fork(conn: AsyncConnection[Any], parent: History, levels: Sequence[int]) -> History:
    """A fork of forks, each with so many messages of its own."""
    length = parent.length if sum(levels) < parent.length else parent.length + EARLY
    version = length - sum(levels)
    context_id = parent.context_id
    for level in levels:
        context_id = (await forks.fork(conn, context_id, body="{}", version=version)).id
        await say(conn, context_id, version + 1, version + level, last_question=LAST_QUESTION)
        version += level
    cursor = await conn.execute("SELECT cardinality(ancestor_ids) FROM contexts WHERE id = %s", [context_id])
    assert await cursor.fetchall() == [(len(levels),)]
    return History(context_id, length, length - levels[-1])


async def _beside(
    report: Report, conn: AsyncConnection[Any], what: tuple[str, str], large: History, forked: Mapping[int, History]
) -> None:
    read, place = what
    subjects: dict[str, Subject] = {}
    likes = []
    for depth, history in {0: large, **forked}.items():
        if (policy := READS[read]) is None:
            subjects[str(depth)] = _paging(conn, history)
        else:
            window = reading(conn, history.context_id, policy)
            subjects[str(depth)] = answering(window)
            likes.append(like(await window()))
    assert likes[1:] == likes[:-1], likes
    times = await medians(ITERATIONS, subjects)
    plain_ms = times["0"]
    for depth in forked:
        fork_ms = times[str(depth)]
        ratio, level_us = fork_ms / plain_ms, (fork_ms - plain_ms) / depth * 1000
        cells = f"{plain_ms:.3f}", f"{fork_ms:.3f}", f"{ratio:.2f}", f"{level_us:.1f}"
        allowed_ms = TIMES * plain_ms + LEVEL_MS * depth
        report.at_most(f"{read}: {place}, depth {depth}", *cells, measured=fork_ms / allowed_ms, limit=1.0)


def _paging(conn: AsyncConnection[Any], history: History) -> Subject:
    return lambda _: page(conn, history.context_id, history.length - PAGE - 1)

"""The bench's section on windows by the length of the history, policy by policy, and on what clearing adds.

Like is compared with like: both histories are longer than the window, as all of a shorter one is read another way, and
it is asserted that the windows differ in their versions alone. What is compared alternates, iteration by iteration.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.types.numeric import Int8

from lib import web, windows
from lib.windows import Window
from scripts.bench.report import Report
from scripts.bench.sql import BUDGET, LARGE, MILLION, TOKENS, Subject, fill, medians

ITERATIONS = 400

# A history somewhat longer than any of these windows, in messages. All lengths here are multiples of 100 messages, and
# so of three steps: a window lies as far from its edge in each.
SHORT = 200
STEP = BUDGET // 4
assert 100 * TOKENS % STEP == 0

# The newest message of a user opens a loop of calls that never ends: each window that keeps it looks so far back.
LAST_QUESTION = 5


def _recommended(budget: int) -> dict[str, Any]:
    return {
        "budget": budget,
        "keepPreamble": True,
        "keepRequest": True,
        "step": budget // 4,
        "compactionDue": {"threshold": 0.8, "keepTokens": budget // 2},
    }


CLEARING = {"clearToolResults": {"keepTokens": STEP}}
RECOMMENDED = _recommended(BUDGET)
CLEARED = {**RECOMMENDED, **CLEARING}


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for: a window at the end of a history, or at the version or the time in the middle of it.

    short is the length of the short history in messages.
    """

    name: str
    policy: Mapping[str, Any]
    short: int = SHORT
    middle: type[int | datetime] | None = None
    content: bool = True


PLAIN = (
    Asked("no policy", {"budget": BUDGET}),
    Asked("clearToolResults alone", {"budget": BUDGET, **CLEARING}),
    Asked("recommended", RECOMMENDED),
    Asked("recommended, clearing", CLEARED),
    Asked("recommended, clearing; figures alone", CLEARED, content=False),
    Asked("recommended, clearing; at a version", CLEARED, 2 * SHORT, int),
    Asked("recommended, clearing; at a time", CLEARED, 2 * SHORT, datetime),
)
# Behind the last of them there are always SHORT messages.
COMPACTED = (
    Asked("recommended; compacted", RECOMMENDED, 2 * SHORT),
    Asked("recommended, clearing; compacted", CLEARED, 2 * SHORT),
    Asked("recommended, clearing; compacted, at a version", CLEARED, 4 * SHORT, int),
)

# What clears, and what holds as many messages without, with a larger budget, as far behind its edge.
CLEARING_BESIDE = (
    ("clearToolResults alone", {"budget": BUDGET, **CLEARING}, {"budget": 9780}),
    ("recommended, clearing", CLEARED, _recommended(9520)),
)

type Reading = Callable[[], Awaitable[Window]]

# One for each SHORT messages but the newest, made when half of those behind it were there.
COMPACT = """
WITH made AS (
    INSERT INTO compactions (
        context_id, number, through_version, made_at_version, based_on, role, summary, metadata, token_count,
        json_bytes, created_at
    )
    SELECT %(context_id)s, number, number * %(every)s, number * %(every)s + %(every)s / 2, number - 1, 'user',
        repeat('What was done. ', 20), '{}', %(tokens)s, 302, now()
    FROM generate_series(1, %(count)s / %(every)s - 1) AS number
)
UPDATE contexts SET compaction_count = %(count)s / %(every)s - 1 WHERE id = %(context_id)s
"""


async def measure(report: Report, conn: AsyncConnection[Any], *, million: bool) -> None:
    """Prints the section."""
    lengths = (*(number * SHORT for number in (1, 2, 4)), LARGE, *([MILLION] if million else []))
    contexts = {length: await fill(conn, length, last_question=LAST_QUESTION) for length in lengths}
    await conn.execute("VACUUM (ANALYZE) contexts, messages")

    report.section(f"Full windows of {BUDGET:,} tokens, policy by policy", "beside, ms", "ms", "ratio", "goal", "")
    for asked in PLAIN:
        await _by_length(report, conn, contexts, asked)
    await _clearing(report, conn, contexts[LARGE])
    for length, context_id in contexts.items():
        parameters = {"context_id": context_id, "count": length, "every": SHORT, "tokens": TOKENS}
        await conn.execute(COMPACT, parameters)
    await conn.execute("VACUUM (ANALYZE) contexts, compactions")
    for asked in COMPACTED:
        await _by_length(report, conn, contexts, asked)


async def _by_length(report: Report, conn: AsyncConnection[Any], contexts: Mapping[int, UUID], asked: Asked) -> None:
    lengths = [asked.short, *(length for length in contexts if length >= LARGE)]
    subjects = {}
    likes = []
    for length in lengths:
        at = await _middle(conn, contexts[length], length // 2, asked.middle)
        read = reading(conn, contexts[length], asked.policy, at, content=asked.content)
        subjects[str(length)] = answering(read)
        likes.append(like(await read()))
    assert likes[1:] == likes[:-1], likes
    times = await medians(ITERATIONS, subjects)
    short_ms = times[str(asked.short)]
    for length in lengths[1:]:
        long_ms = times[str(length)]
        name = f"{asked.name}: {length:,} beside {asked.short}"
        report.at_most(name, f"{short_ms:.3f}", f"{long_ms:.3f}", measured=long_ms / short_ms, limit=1.2)


async def _clearing(report: Report, conn: AsyncConnection[Any], context_id: UUID) -> None:
    for name, clearing, other in CLEARING_BESIDE:
        reads = [reading(conn, context_id, policy) for policy in (clearing, other)]
        held = [len((await read()).texts) for read in reads]
        assert held[0] == held[1], held
        clearing_ms, other_ms = (
            await medians(ITERATIONS, dict(zip(("clearing", "other"), map(answering, reads), strict=True)))
        ).values()
        row = f"{name}: {held[0]} messages beside as many without clearing"
        report.at_most(row, f"{other_ms:.3f}", f"{clearing_ms:.3f}", measured=clearing_ms / other_ms, limit=1.5)


async def _middle(
    conn: AsyncConnection[Any], context_id: UUID, version: int, kind: type[int | datetime] | None
) -> int | datetime | None:
    if kind is int:
        # psycopg prepares a statement once for each size of integer, which may end with unlike plans.
        return Int8(version)
    if kind is None:
        return None
    statement = "SELECT created_at FROM messages WHERE context_id = %s AND version = %s"
    cursor = await conn.execute(statement, [context_id, version])
    [(time,)] = await cursor.fetchall()
    assert isinstance(time, datetime)
    return time


def reading(
    conn: AsyncConnection[Any],
    context_id: UUID,
    policy: Mapping[str, Any],
    at: int | datetime | None = None,
    *,
    content: bool = True,
) -> Reading:
    return lambda: windows.read(conn, context_id, overrides=policy, at=at, content=content)


def answering(read: Reading) -> Subject:
    async def answer(_: int) -> bytes:
        window = await read()
        return web.listed(window.texts, window.figures).body

    return answer


def like(window: Window) -> dict[str, Any]:
    """What windows that are alike have in common: all are full, and a compaction is due where the policy asks."""
    figures = window.figures
    assert figures["droppedCount"]
    assert bool(figures["compactionDue"]) == bool(figures["policy"]["compactionDue"])
    told = ("preambleCount", "requestVersion", "clearedCount", "usedTokens", "tokensToEdge", "policy")
    return {
        "messages": len(window.texts),
        "run": figures["lastVersion"] - figures["firstVersion"] + 1,
        "compacted": bool(figures["compaction"]),
        **{name: figures[name] for name in told},
    }

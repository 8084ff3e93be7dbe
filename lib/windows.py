"""Windows: the newest messages of a context that fit a token budget. A walk along an index, however long the history.

An assistant message with tool calls and the tool messages that answer it are one unit, and a window never splits one:
providers reject a tool result whose call is missing. Must read no more rows than it returns, give or take a few.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import args_row

from lib import errors
from lib.messages import MESSAGE_BYTES, MESSAGE_JSON, check_at
from lib.models import MAX_PAGE_BYTES

# The least that a message's JSON takes, in bytes; a test holds it. More messages than these are over MAX_PAGE_BYTES.
MIN_MESSAGE_BYTES = 280
MAX_MESSAGES = MAX_PAGE_BYTES // MIN_MESSAGE_BYTES

# Versions that a call may lie before its answer: the largest batch. Bounds the search for a call that is not there.
MAX_REACH = 1000


class Candidate(NamedTuple):
    """A message that may be in a window: what the choice looks at, its JSON text, and its context's figures.

    A context without messages is one candidate of version 0. A named tuple, because windows are read in bulk: it takes
    two thirds of the time of a dataclass by name (measured), for fields in the order of the statements' columns.
    """

    version: int
    token_count: int
    call_ids: Sequence[str] | None
    tool_call_id: str | None
    json: str
    latest_version: int = 0
    total_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Window:
    """The chosen messages, oldest first; version and total_tokens are the context's at the time that was asked for."""

    messages: Sequence[Candidate]
    version: int
    total_tokens: int

    def figures(self, budget: int) -> dict[str, int | bool | None]:
        """What stands beside the messages in an answer; tokens, versions and a number of messages."""
        used = sum(message.token_count for message in self.messages)
        first = self.messages[0].version if self.messages else None
        return {
            "budget": budget,
            "usedTokens": used,
            "overBudget": used > budget,
            "totalTokens": self.total_tokens,
            "firstVersion": first,
            "lastVersion": self.messages[-1].version if self.messages else None,
            # Versions have no gaps, so those before the first are as many messages.
            "droppedCount": first - 1 if first else 0,
        }


@dataclass(frozen=True, slots=True)
class Missing:
    """What must be known before a window can be chosen: the calls that these ids name, from before the candidates."""

    call_ids: frozenset[str]


def choose(candidates: Sequence[Candidate], budget: int, orphans: Collection[str] = ()) -> int | Missing:
    """The index in candidates (oldest first, not empty) at which the window opens, or what is missing to tell.

    The window is the longest run up to the newest candidate, within budget tokens and MAX_PAGE_BYTES, that splits no
    unit and opens with no tool message; where none fits, the newest unit alone. orphans are call ids known to name no
    call: an answer to one is a unit by itself, with which a window opens only where no other that fits opens otherwise.
    """
    newest = len(candidates) - 1
    callers = _callers(candidates)
    fitting = _fitting(candidates, budget)

    def whole(opening: int, *, may_answer: bool) -> int | Missing:
        """The first index from opening on at which no unit is split; behind the newest where there is none."""
        unknown: dict[int, str] = {}
        for index in range(opening, newest + 1):
            call_id, caller = candidates[index].tool_call_id, callers[index]
            if call_id is None:
                continue
            if (index == opening and not may_answer) or (caller is not None and caller < opening):
                opening = index + 1
            elif caller is None and call_id not in orphans:
                unknown[index] = call_id
        missing = frozenset(call_id for index, call_id in unknown.items() if index >= opening)
        return Missing(missing) if missing else opening

    for may_answer in (False, True):
        opening = whole(fitting, may_answer=may_answer)
        if isinstance(opening, Missing) or opening <= newest:
            return opening

    # Nothing fits: the newest unit, back to the oldest call that any of its messages answers.
    opening = index = newest
    while index >= opening:
        opening = min(opening, index if (caller := callers[index]) is None else caller)
        index -= 1
    # All that it lacks at once: each look is a round trip.
    named = {candidates[index].tool_call_id for index in range(opening, newest + 1) if callers[index] is None}
    missing = frozenset(call_id for call_id in named if call_id is not None).difference(orphans)
    return Missing(missing) if missing else opening


def _fitting(candidates: Sequence[Candidate], budget: int) -> int:
    """The index of the oldest candidate that budget and MAX_PAGE_BYTES reach; behind the newest where not even that."""
    tokens = size = 0
    for index in range(len(candidates) - 1, -1, -1):
        tokens += candidates[index].token_count
        size += len(candidates[index].json.encode())
        if tokens > budget or size > MAX_PAGE_BYTES:
            return index + 1
    return 0


def _callers(candidates: Sequence[Candidate]) -> list[int | None]:
    """For each candidate the index of the newest call before it that it answers."""
    callers: list[int | None] = []
    calls: dict[str, int] = {}
    for index, candidate in enumerate(candidates):
        callers.append(calls.get(candidate.tool_call_id) if candidate.tool_call_id is not None else None)
        if candidate.call_ids:
            calls.update(dict.fromkeys(candidate.call_ids, index))
    return callers


# The running sum turns the budget into a range of versions, by one look into messages_window_idx: the last message that
# is more than the budget away. With both of its ends known no plan reads more than the range. The message across the
# budget comes too, so that there is always one. The sum of bytes stops images, which have no tokens, from being read by
# the gigabyte. Materialized, lest the looks are repeated for every row.
# past (whether at a version before the latest) → statement: so each has one plan for all its calls.
WINDOW = {
    past: f"""
    WITH context AS MATERIALIZED (
        SELECT id, latest_version, {version} AS version, {total_tokens} AS total_tokens
        FROM contexts
        WHERE id = %(context_id)s AND deleted_at IS NULL
    ), reach AS MATERIALIZED (
        SELECT greatest(version - {MAX_MESSAGES}, (
            SELECT older.version
            FROM messages AS older
            WHERE older.context_id = context.id AND older.cumulative_tokens < context.total_tokens - %(budget)s
            ORDER BY older.cumulative_tokens DESC, older.version DESC
            LIMIT 1
        )) + 1 AS first_version
        FROM context
    )
    SELECT coalesce(candidate.version, 0), candidate.token_count, candidate.call_ids, candidate.tool_call_id,
        candidate.json, context.latest_version, context.total_tokens
    FROM context
    CROSS JOIN reach
    LEFT JOIN LATERAL (
        SELECT message.version, message.token_count, message.call_ids, message.tool_call_id, {MESSAGE_JSON} AS json
        FROM (
            SELECT newest.*, sum({MESSAGE_BYTES}) OVER (ORDER BY version DESC ROWS UNBOUNDED PRECEDING)
                - ({MESSAGE_BYTES}) AS bytes_newer
            FROM messages AS newest
            WHERE context_id = context.id AND version BETWEEN reach.first_version AND context.version
        ) AS message
        WHERE message.bytes_newer <= {MAX_PAGE_BYTES}
    ) AS candidate ON true
    ORDER BY candidate.version
    """
    for past, version, total_tokens in (
        (False, "latest_version", "total_tokens"),
        (
            True,
            "%(at)s",
            """coalesce((
            SELECT past.cumulative_tokens FROM messages AS past
            WHERE past.context_id = contexts.id AND past.version = %(at)s
        ), 0)""",
        ),
    )
}


async def read(conn: AsyncConnection[Any], context_id: UUID, *, budget: int, at: int | None = None) -> Window:
    """The window of budget tokens, as it was at version at. Raises ContextNotFound, InvalidParameter."""
    async with conn.cursor(row_factory=args_row(Candidate)) as cursor:
        await cursor.execute(WINDOW[at is not None], {"context_id": context_id, "budget": budget, "at": at})
        candidates = await cursor.fetchall()
    if not candidates:
        raise errors.ContextNotFound
    latest_version, total_tokens = candidates[0].latest_version, candidates[0].total_tokens
    check_at(at, latest_version)
    version = latest_version if at is None else at
    if candidates[0].version == 0:
        return Window([], version, total_tokens)

    orphans: set[str] = set()
    while isinstance(opening := choose(candidates, budget, orphans), Missing):
        earlier = await _back_to_calls(conn, context_id, opening.call_ids, before=candidates[0].version)
        candidates = earlier + candidates
        orphans |= opening.call_ids.difference(*(call.call_ids or () for call in earlier))
    return Window(candidates[opening:], version, total_tokens)


# Only where an answer's call lies before the budget: in a unit larger than it, or with messages between the two.
BACK_TO_CALLS = f"""
SELECT message.version, message.token_count, message.call_ids, message.tool_call_id, {MESSAGE_JSON} AS json
FROM messages AS message
WHERE message.context_id = %(context_id)s AND message.version < %(before)s
    AND message.version >= (
        SELECT min(newest) FROM (
            SELECT max(caller.version) AS newest
            FROM messages AS caller, unnest(caller.call_ids) AS call_id
            WHERE caller.context_id = %(context_id)s
                AND caller.version BETWEEN %(before)s - {MAX_REACH} AND %(before)s - 1
                AND call_id = ANY (%(call_ids)s)
            GROUP BY call_id
        ) AS calls
    )
ORDER BY message.version
"""


async def _back_to_calls(
    conn: AsyncConnection[Any], context_id: UUID, call_ids: Collection[str], *, before: int
) -> list[Candidate]:
    """The messages from the oldest of the calls that call_ids name up to version before; none where there is none."""
    async with conn.cursor(row_factory=args_row(Candidate)) as cursor:
        await cursor.execute(BACK_TO_CALLS, {"context_id": context_id, "call_ids": [*call_ids], "before": before})
        return await cursor.fetchall()

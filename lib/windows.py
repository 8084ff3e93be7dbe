"""Windows: what to send to a model next. Head and run of a context, as its policy has it, within a budget of tokens.

One statement fetches the head and as many of the newest messages as can matter, by ranges of indexes; lib/runs.py
chooses among them. Must read in proportion to the window, however long the history and whatever the policy.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from lib import errors
from lib.errors import Place
from lib.messages import ENVELOPE_BYTES, MESSAGE_JSON, check_at, flat, message_json, point
from lib.models import MAX_BODY_BYTES, MAX_PAGE_BYTES
from lib.runs import CLEARED, CLEARED_TOKENS, Candidate, Limits, Run, choose

# More messages than these are over MAX_PAGE_BYTES, as bytes are counted here.
MAX_MESSAGES = MAX_PAGE_BYTES // ENVELOPE_BYTES

# What renders a window, by format: the last three digits of an ETag's second number. One whose answers change for what
# is stored gets the next of its hundred.
RENDERER = {
    "kata": 0,
    "openai-chat": 100,
    "openai-responses": 200,
    "anthropic": 300,
    "gemini": 400,
    "ai-sdk": 500,
}
RENDERERS = 1000

# Bytes of a window's messages in a provider's format, before they are converted: an object with short members may grow.
MAX_SOURCE_BYTES = 3_500_000

# The ids of pending calls in an answer: what MAX_PAGE_BYTES leaves, and some for the other figures.
MAX_PENDING_BYTES = 65_536

# A compaction that would save less than this part of the budget is not worth a call of a model.
LEAST_SAVED = 10


# What a message adds to an answer at most, in bytes, without its texts being read: JSON may take six for one. An answer
# to no call is in no window.
NAMES = ("tool_call_id", "tool_name", "model")
NAME_BYTES = f"6 * ({' + '.join(f'coalesce(octet_length({name}), 0)' for name in NAMES)}) + {ENVELOPE_BYTES}"
CLEARED_BYTES = f"CASE WHEN call_version > 0 THEN metadata_bytes + {NAME_BYTES} ELSE 0 END"


class Columns(NamedTuple):
    """The SQL of a message in a window: the bytes of what its client sent, its JSON text, and that of it cleared."""

    bytes: str
    json: str
    cleared_json: str


MESSAGES = Columns(
    bytes="json_bytes",
    json=MESSAGE_JSON,
    cleared_json=message_json(
        content=f"'\"{CLEARED}\"'", tokens=f"least(message.token_count, {CLEARED_TOKENS})", more=',"cleared":true'
    ),
)


# An array of what history.Message has from role to native: what formats make their own of. What the same format gave
# comes as it was given, and nothing else of it.
_GIVEN = "native_format = %(format)s"
_FAILED = "CASE WHEN role = 'tool' AND (metadata -> 'isError')::text = 'true' THEN ',true,' ELSE ',false,' END"
SOURCES = Columns(
    bytes=f"CASE WHEN {_GIVEN} THEN native_bytes ELSE json_bytes END",
    json=f"""concat('["', role, '",',
    CASE WHEN {_GIVEN} THEN 'null,null' ELSE concat(coalesce(content, 'null'), ',', coalesce(tool_calls, 'null')) END,
    {_FAILED}, CASE WHEN {_GIVEN} THEN native ELSE 'null' END, ']')""",
    cleared_json=f"""concat('["tool","{CLEARED}",null', {_FAILED}, 'null]')""",
)


# window_reach turns the budget into a range of versions, by looks into indexes: with both of its ends known no plan
# reads more than the range. What is cleared depends on where the next edge lies, which Python decides: what is cleared
# for certain comes without its content, and what may be cleared comes both ways. One row, of version 0, has what is
# known beside messages, as JSON.
# The rows come as they are found, and Python sorts them: sorted here they would come all at once, which spares waking
# the event loop for every 8 KB, a fifth of the CPU, but takes a tenth more time (measured on 133 messages).
# The context's id is hidden from the planner, which would plan short histories anew each time. Single versions are read
# as ranges in order: else PostgreSQL may look for them in messages_window_idx, by walking all of a history.
def _statement(columns: Columns) -> str:
    sent_bytes = f"CASE WHEN call_version > 0 OR role <> 'tool' THEN {columns.bytes} + {NAME_BYTES} ELSE 0 END"
    return flat(f"""
WITH context AS MATERIALIZED (
    SELECT ancestor_ids || id AS owners, 0::bigint || ancestor_versions AS starts
    FROM contexts WHERE id = %(context_id)s
), reach AS MATERIALIZED (
    SELECT * FROM window_reach(
        %(context_id)s, %(bare)s, %(overrides)s, %(at)s, %(at_time)s, {MAX_MESSAGES}, %(content)s
    )
    WHERE version IS NOT NULL
)
SELECT 0::bigint, true, 0, false, NULL::bigint, NULL::text[], NULL, 0, NULL::integer, row_to_json(reach)::text, NULL
FROM reach
UNION ALL
SELECT message.version, head, token_count, role = 'user', CASE role WHEN 'tool' THEN coalesce(call_version, 0) END,
    call_ids, tool_call_id, bytes, cleared_bytes,
    CASE WHEN %(content)s AND bytes > 0 AND coalesce(message.version >= newest_opening OR role <> 'tool'
            OR cumulative_tokens > cleared_at_least, true)
        AND CASE WHEN cleared_bytes IS NULL THEN least_bytes ELSE most_bytes END <= {MAX_BODY_BYTES}
        THEN {columns.json} END,
    CASE WHEN %(content)s AND cleared_bytes IS NOT NULL AND least_bytes <= {MAX_BODY_BYTES}
        THEN {columns.cleared_json} END
FROM reach
CROSS JOIN context
CROSS JOIN LATERAL (
    SELECT kept.*, summary_bytes + sum(bytes) OVER (ORDER BY version ROWS UNBOUNDED PRECEDING) AS least_bytes,
        0::bigint AS most_bytes
    FROM unnest(head_versions) AS place
    CROSS JOIN LATERAL (
        SELECT *, {sent_bytes} AS bytes, true AS head, NULL::integer AS cleared_bytes
        FROM messages
        WHERE context_id = owner_of(owners, starts, place) AND version BETWEEN place AND place
        ORDER BY version
        LIMIT 1
    ) AS kept
    UNION ALL
    SELECT newest.*, sum(coalesce(cleared_bytes, bytes)) OVER newest_first, sum(bytes) OVER newest_first
    FROM segments(owners, starts, first_version, reach.version)
    CROSS JOIN LATERAL (
        SELECT *, {sent_bytes} AS bytes, false AS head,
            CASE WHEN role = 'tool' AND cumulative_tokens <= cleared_at_most THEN {CLEARED_BYTES} END AS cleared_bytes
        FROM messages
        WHERE context_id = owner AND version BETWEEN first_version AND upto
        ORDER BY version DESC
        OFFSET 0
    ) AS newest
    WINDOW newest_first AS (ROWS UNBOUNDED PRECEDING)
) AS message
WHERE head OR least_bytes <= {MAX_BODY_BYTES} OR message.version >= newest_opening
""")


WINDOW = _statement(MESSAGES)
FORMAT_WINDOW = _statement(SOURCES)


class Facts(NamedTuple):
    """What window_reach knows beside messages: versions, tokens and bytes."""

    latest_version: int
    version: int
    revision: int
    policy: dict[str, Any]
    total_tokens: int
    competing: int
    preamble: int
    base: int
    head_versions: list[int] | None
    request_version: int | None
    number: int | None
    through_version: int | None
    summary_tokens: int
    summary_bytes: int
    newest_opening: int | None
    cleared_at_least: int | None
    cleared_at_most: int | None
    first_version: int | None
    due_version: int | None
    due_tokens: int | None
    summary: dict[str, str] | None

    def summary_message(self, summary: Mapping[str, str], format_name: str) -> Candidate:
        """The summary as a message of a window in a format. shapes.Summary says the same in Python."""
        content = json.dumps(summary["content"], ensure_ascii=False)
        text = (
            f'{{"id":null,"contextId":"{summary["context_id"]}","version":null,"role":"{summary["role"]}","content":'
            f'{content},"toolCalls":null,"toolCallId":null,"toolName":null,"model":null,'
            f'"metadata":{summary["metadata"]},"tokenCount":{self.summary_tokens},"hasEmbedding":false,'
            f'"createdAt":"{summary["created_at"]}","compactionNumber":{self.number}}}'
        )
        if format_name != "kata":
            text = f'["{summary["role"]}",{content},null,false,null]'
        return Candidate(0, True, self.summary_tokens, False, None, None, None, self.summary_bytes, None, text, None)


@dataclass(frozen=True, slots=True)
class Window:
    """What to send, in order, and the figures beside it.

    version is the context's at the time that was asked for; revision moves with whatever else windows depend on. Of a
    window for a provider's format, messages have what that makes its own of, the summary is of version 0, and left_out
    has the versions of answers in the run's range that are not in it, for want of their calls.
    """

    messages: Sequence[Candidate]
    figures: Mapping[str, Any]
    version: int
    revision: int
    format: str = "kata"
    left_out: Sequence[int] = ()

    @property
    def texts(self) -> list[str]:
        """The JSON texts of its messages."""
        return [message.json or "" for message in self.messages]

    @property
    def etag(self) -> str:
        """Its ETag, which no other answer has had: `"version"` while only messages count, else `"version.number"`."""
        number = self.revision * RENDERERS + RENDERER[self.format]
        return f'"{self.version}.{number}"' if number else f'"{self.version}"'


async def read(
    conn: AsyncConnection[Any],
    context_id: UUID,
    *,
    overrides: Mapping[str, Any],
    bare: bool = False,
    at: int | datetime | None = None,
    content: bool = True,
    format_name: str = "kata",
) -> Window:
    """The window of a context, as it was at a version or a time, for a format: its messages are for that to render.

    overrides are members of a policy that count instead of the stored one's, of which bare sets all aside. Without
    content no messages are read that figures do not need, and there are none in it.
    Raises ContextNotFound, InvalidParameter, and PayloadTooLarge where head and newest unit cannot be carried.
    """
    parameters = {
        "context_id": context_id,
        "overrides": Jsonb(overrides),
        "bare": bare,
        "content": content,
        **point(at),
    }
    ours = format_name == "kata"
    async with conn.cursor(row_factory=lambda _: Candidate._make) as cursor:
        await cursor.execute(
            WINDOW if ours else FORMAT_WINDOW, parameters if ours else {**parameters, "format": format_name}
        )
        rows = await cursor.fetchall()
    if not rows:
        raise errors.ContextNotFound
    rows.sort(key=attrgetter("version"))
    facts = Facts(**json.loads(rows[0].json or ""))
    check_at(at, facts.latest_version)
    if "budget" not in facts.policy:
        raise errors.InvalidParameter(places=[Place("/budget", "required, as the policy has none")])
    return _window(facts, rows, content=content, format_name=format_name)


def _window(facts: Facts, rows: Sequence[Candidate], *, content: bool, format_name: str) -> Window:
    """The window of facts and rows: that of the facts, the preamble, the request, and the newest messages."""
    policy, budget = facts.policy, facts.policy["budget"]
    preamble = [row for row in rows[1:] if row.head]
    candidates = [row for row in rows if not row.head]
    # It is in the head where it is not in the newest unit, which a run holds anyway.
    request = preamble.pop() if len(preamble) > facts.preamble else None
    # Else bytes end before the tokens do, or so many messages that they take as much.
    first = candidates[0].version if candidates else facts.version + 1
    whole = first == (facts.first_version or first) and (
        first == facts.base + 1 or first > facts.version - MAX_MESSAGES + 1
    )
    most = MAX_PAGE_BYTES if format_name == "kata" else MAX_SOURCE_BYTES
    limits = Limits(
        budget=budget,
        step=policy.get("step") or 0,
        clear=_keep_tokens(policy.get("clearToolResults")),
        start_on_user=policy.get("startOn") == "user",
        bytes=most,
    )

    def chosen(tokens: int, size: int) -> Run:
        left = limits.clamped(budget - tokens, most - size)
        return choose(candidates, facts.version, facts.competing, left, whole=whole)

    tokens = sum(message.token_count for message in preamble) + facts.summary_tokens
    size = sum(message.bytes for message in preamble) + facts.summary_bytes + ENVELOPE_BYTES * bool(facts.number)
    run = chosen(tokens, size)
    if request and request.version >= run.first:
        request = None
    if request:
        again = chosen(tokens + request.token_count, size + request.bytes)
        fits = again.used <= again.limits.budget
        if again.first <= request.version or fits:
            run = again
        # Chosen anew the run may hold it; and where the newest unit would not fit any more, that goes before.
        if again.first <= request.version or not fits:
            request = None
    if request:
        tokens += request.token_count
        size += request.bytes

    shown: list[Candidate] = []
    if content:
        shown += preamble
        shown += [facts.summary_message(facts.summary, format_name)] if facts.summary else []
        shown += [request] if request else []
        if run.cleared:
            shown += [
                message._replace(json=message.cleared_json) if message.version in run.cleared else message
                for message in run.messages
            ]
        else:
            shown += run.messages
        if size + run.bytes > MAX_BODY_BYTES or any(message.json is None for message in shown):
            raise errors.PayloadTooLarge(
                f"the head and the newest unit are larger than {MAX_BODY_BYTES:,} bytes, which is what can be"
                " carried: page through its messages"
            )
    used = tokens + run.used
    covered = max(facts.preamble, facts.through_version or 0)
    figures = {
        "budget": budget,
        "usedTokens": used,
        "overBudget": used > budget,
        "totalTokens": facts.total_tokens,
        "firstVersion": run.messages[0].version if run.messages else None,
        "lastVersion": run.messages[-1].version if run.messages else None,
        # Versions have no gaps: what is neither in the head nor in the run, nor in a summary, nobody will see.
        "droppedCount": facts.version - covered - len(run.messages) - bool(request and request.version > covered),
        "preambleCount": facts.preamble,
        "requestVersion": request.version if request else None,
        "compaction": {"number": facts.number, "throughVersion": facts.through_version} if facts.number else None,
        "clearedCount": len(run.cleared),
        "tokensToEdge": None if run.edge is None else run.edge - facts.competing,
        "pendingCalls": _pending(run.messages),
        "compactionDue": _due(facts, budget),
        "policy": _clamped(policy, run.limits, budget),
    }
    return Window(shown, figures, facts.version, facts.revision, format_name, run.left_out)


def _keep_tokens(member: Mapping[str, int] | None) -> int | None:
    return None if member is None else member["keepTokens"]


def _pending(messages: Sequence[Candidate]) -> list[str]:
    """The ids of the calls in a run that no message answers, in order, up to MAX_PENDING_BYTES of them."""
    answered = {(message.call_version, message.tool_call_id) for message in messages if message.call_version}
    pending: list[str] = []
    size = 0
    for message in messages:
        for call_id in message.call_ids or ():
            if (message.version, call_id) not in answered:
                size += len(json.dumps(call_id, ensure_ascii=False).encode())
                if size > MAX_PENDING_BYTES:
                    return pending
                pending.append(call_id)
    return pending


def _due(facts: Facts, budget: int) -> dict[str, int] | None:
    """Up to where a compaction is due, and the messages and tokens that it would stand in for."""
    if facts.due_version is None or facts.due_tokens is None or facts.due_tokens * LEAST_SAVED < budget:
        return None
    messages = facts.due_version - facts.base
    return {"throughVersion": facts.due_version, "messages": messages, "tokens": facts.due_tokens}


def _clamped(policy: Mapping[str, Any], limits: Limits, budget: int) -> dict[str, Any]:
    """All members of a policy, as they were in effect: within the budget, and the run's within what the head leaves."""
    due = policy.get("compactionDue")
    return {
        "budget": budget,
        "keepPreamble": policy.get("keepPreamble") or False,
        "keepRequest": policy.get("keepRequest") or False,
        "startOn": policy.get("startOn") or "any",
        "step": limits.step,
        "clearToolResults": None if limits.clear is None else {"keepTokens": limits.clear},
        "compactionDue": due and {**due, "keepTokens": min(due["keepTokens"], budget)},
    }

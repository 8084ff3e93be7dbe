"""The end of `make chaos`: every context against the log of what was acknowledged, in PostgreSQL and over the API."""

import asyncio
import json
import time
from collections import Counter, defaultdict
from typing import Any

import httpx
import psycopg
from psycopg import IsolationLevel
from psycopg.rows import dict_row

from scripts.chaos.clients import CREATED, OK
from scripts.chaos.log import Batch, Check, Log, Message, is_as_sent, payload_id
from scripts.chaos.readers import Reader
from scripts.chaos.writers import Writer

# Seconds until requests that were given up must have ended: longer than the service gives them.
QUIET_TIMEOUT = 30.0

# Appends without an acknowledgement that are tried again at the end, at most.
MAX_SETTLED = 200

BUDGETS = (1, 500, 8000)

PAGE = 1000

BUSY = """
SELECT (SELECT count(*) FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND state <> 'idle' AND pid <> pg_backend_pid()) AS active,
    (SELECT coalesce(sum(latest_version), 0) FROM contexts) AS versions
"""

# What the clients made: the first phase has a context of its own.
CONTEXTS = """
SELECT id::text, name, metadata, message_count, total_tokens, latest_version FROM contexts
WHERE metadata ? 'payload'
"""

MESSAGES = """
SELECT id::text, context_id::text, version, role, content, tool_calls AS "toolCalls", tool_call_id AS "toolCallId",
    tool_name AS "toolName", model, metadata, token_count AS "tokenCount", cumulative_tokens
FROM messages WHERE metadata::jsonb ? 'payload' ORDER BY context_id, version
"""

KEYS = "SELECT context_id::text, key, first_version, last_version FROM append_keys"

type Row = dict[str, Any]


async def quiet(url: str) -> Check:
    """Waits until nothing runs and nothing changes for a second."""
    check = Check("requests that clients gave up come to an end")
    until = time.monotonic() + QUIET_TIMEOUT
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, row_factory=dict_row) as conn:
        before: Row | None = None
        while time.monotonic() < until:
            now = await (await conn.execute(BUSY)).fetchone()
            if now and not now["active"] and now == before:
                check.expect(True, "")
                return check
            before = now
            await asyncio.sleep(1)
    check.expect(False, f"{before} after {QUIET_TIMEOUT:.0f} s")
    return check


async def settle(log: Log, writer: Writer) -> Check:
    """Tries every other append again that was sent with a key and never acknowledged, as its client would."""
    check = Check("what was never acknowledged is stored by trying again, once")
    open_batches = [batch for batch in log.batches if batch.key and batch.complete and not batch.acknowledged]
    for batch in open_batches[::2][:MAX_SETTLED]:
        answer = await writer.insist(
            "POST",
            f"{batch.context.path}/messages",
            {CREATED},
            body=batch.body,
            headers={"idempotency-key": batch.key or ""},
        )
        right = answer is not None and all(map(is_as_sent, answer.json()["data"], batch.messages))
        check.expect(right, f"{batch.context.id} {batch.key}: {answer and answer.text[:300]}")
    return check


class Stored:
    """What PostgreSQL holds, at one moment."""

    def __init__(self, url: str) -> None:
        with psycopg.connect(url, row_factory=dict_row) as conn:
            conn.isolation_level = IsolationLevel.REPEATABLE_READ
            self.contexts: dict[str, Row] = {row["id"]: row for row in conn.execute(CONTEXTS)}
            self.messages: dict[str, list[Message]] = defaultdict(list)
            for row in conn.execute(MESSAGES):
                self.messages[row["context_id"]].append(row)
            self.keys = {(row["context_id"], row["key"]): row for row in conn.execute(KEYS)}


def check_stored(log: Log, stored: Stored) -> list[Check]:
    """Holds the rows against the log."""
    return [
        _nothing_lost(log, stored),
        _nothing_twice(log, stored),
        _nothing_partial(log, stored),
        _nothing_unsent(log, stored),
        _content(log, stored),
        *_figures(stored),
        _keys(log, stored),
    ]


def _nothing_lost(log: Log, stored: Stored) -> Check:
    check = Check("nothing acknowledged is lost (contexts and messages)")
    for context in log.contexts:
        if context.id:
            row = stored.contexts.get(context.id, {})
            same = {"name": row.get("name"), "metadata": row.get("metadata")} == context.body
            check.expect(same, f"context {context.id}: {row}")
    for batch in log.batches:
        rows = stored.messages[batch.context.id]
        for version, message_id in enumerate(batch.message_ids, batch.first_version or 0):
            found = rows[version - 1] if version <= len(rows) else {}
            check.expect(found.get("id") == message_id, f"{batch.context.id} version {version}: {found}")
    return check


def _nothing_twice(log: Log, stored: Stored) -> Check:
    check = Check("nothing is stored twice (contexts and messages, by what was sent)")
    contexts = Counter(row["metadata"]["payload"] for row in stored.contexts.values())
    for context in log.contexts:
        check.expect(contexts[context.key] <= 1, f"context {context.key}: {contexts[context.key]} times")
    messages = Counter(payload_id(row) for rows in stored.messages.values() for row in rows)
    for payload in log.sent:
        check.expect(messages[payload] <= 1, f"message {payload}: {messages[payload]} times")
    return check


def _nothing_partial(log: Log, stored: Stored) -> Check:
    check = Check("a batch is stored whole, in order and side by side, or not at all")
    places = {payload_id(row): row["version"] for rows in stored.messages.values() for row in rows}
    for batch in log.batches:
        versions = [places.get(payload_id(message)) for message in batch.messages]
        first = versions[0]
        whole = first is not None and versions == list(range(first, first + len(versions)))
        nothing = not any(versions) and not batch.acknowledged
        check.expect(whole or nothing, f"{batch.context.id} {batch.key}: versions {versions}")
    return check


def _nothing_unsent(log: Log, stored: Stored) -> Check:
    check = Check("nothing is stored of an incomplete request or of a key with another payload")
    places = {payload_id(row) for rows in stored.messages.values() for row in rows}
    for batch in log.batches:
        if not batch.complete:
            for message in batch.messages:
                check.expect(payload_id(message) not in places, f"{batch.context.id}: {payload_id(message)}")
    for payload in log.unwanted:
        check.expect(payload not in places, payload)
    return check


def _content(log: Log, stored: Stored) -> Check:
    check = Check("content equals what was sent")
    for rows in stored.messages.values():
        for row in rows:
            sent = log.sent.get(payload_id(row))
            check.expect(sent is not None and is_as_sent(row, sent), f"{row['context_id']} version {row['version']}")
    return check


def _figures(stored: Stored) -> list[Check]:
    gaps = Check("versions have no gaps")
    counters = Check("message_count, latest_version and total_tokens agree with the rows")
    sums = Check("cumulative_tokens agree with the rows")
    for context_id, row in stored.contexts.items():
        rows = stored.messages[context_id]
        gaps.expect([message["version"] for message in rows] == list(range(1, len(rows) + 1)), context_id)
        total = 0
        for message in rows:
            total += message["tokenCount"]
            sums.expect(message["cumulative_tokens"] == total, f"{context_id} version {message['version']}")
        counted = {"message_count": len(rows), "latest_version": len(rows), "total_tokens": total}
        counters.expect({name: row[name] for name in counted} == counted, f"{context_id}: {row} is not {counted}")
    return [gaps, counters, sums]


def _keys(log: Log, stored: Stored) -> Check:
    check = Check("each stored key names its batch, and each batch with a key has one")
    places = {payload_id(row): row["version"] for rows in stored.messages.values() for row in rows}
    batches = {(batch.context.id, batch.key): batch for batch in log.batches if batch.key}
    for place, row in stored.keys.items():
        batch = batches.get(place)
        named = (row["first_version"], row["last_version"])
        check.expect(batch and named == _span(batch, places), f"{place}: {row}")
    for place, batch in batches.items():
        check.expect((place in stored.keys) == (_span(batch, places)[0] is not None), f"{place}")
    return check


def _span(batch: Batch, places: dict[str, int]) -> tuple[int | None, int | None]:
    return places.get(payload_id(batch.messages[0])), places.get(payload_id(batch.messages[-1]))


# --- Over the API


async def check_api(log: Log, stored: Stored, reader: Reader, writer: Writer, *, replays: int) -> list[Check]:
    """Holds the API's answers against the rows and the log, and replays keys of appends, so many at most."""
    pages = Check("the API's pages hold the same messages as PostgreSQL, context by context")
    windows = Check("the API's windows are right, context by context")
    for context in log.contexts:
        if context.id:
            rows = stored.messages[context.id]
            pages.expect(await _pages(context.path, reader) == [row["id"] for row in rows], context.id)
            for budget in BUDGETS:
                answer = await reader.insist("GET", f"{context.path}/window?budget={budget}", {OK})
                wrong = "no answer" if answer is None else reader.wrong_window(answer.json(), budget, len(rows))
                windows.expect(not wrong, f"{context.id} budget {budget}: {wrong}")
    keyed = [batch for batch in log.batches if batch.key and batch.acknowledged]
    for batch in writer.random.sample(keyed, min(replays, len(keyed))):
        await writer.replay_append(batch)
    for context in log.contexts:
        if context.id:
            await writer.replay_creation(context)
    return [pages, windows]


async def _pages(path: str, reader: Reader) -> list[str] | str:
    """The ids of all messages, page by page; what is wrong with a page where something is."""
    found: list[str] = []
    more = True
    while more:
        answer: httpx.Response | None = await reader.insist(
            "GET", f"{path}/messages?cursor={len(found)}&limit={PAGE}", {OK}
        )
        if answer is None:
            return "no answer"
        page = json.loads(answer.content)
        if wrong := reader.wrong_page(page, len(found), PAGE, 0):
            return wrong
        found += [message["id"] for message in page["data"]]
        more = page["hasMore"]
    return found

"""What PostgreSQL holds when `make chaos` has ended: all rows, at one moment."""

import asyncio
import time
from collections import defaultdict
from typing import Any

import psycopg
from psycopg import IsolationLevel
from psycopg.rows import dict_row

from scripts.chaos import rule
from scripts.chaos.log import Check, Message

# Seconds until requests that were given up must have ended: longer than the service gives them.
QUIET_TIMEOUT = 30.0

BUSY = """
SELECT (SELECT count(*) FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND state <> 'idle' AND pid <> pg_backend_pid()) AS active,
    (SELECT count(*) FROM contexts) AS contexts, (SELECT coalesce(sum(latest_version), 0) FROM contexts) AS versions,
    (SELECT coalesce(sum(revision), 0) FROM contexts) AS revisions
"""

# What the clients made, parents before their forks: the first phase has a context of its own.
CONTEXTS = """
SELECT id::text, name, external_id, metadata, policy, message_count, total_tokens, latest_version, revision,
    compaction_count, parent_id::text, fork_version, deleted_at
FROM contexts
WHERE metadata ? 'payload'
ORDER BY created_at, id
"""

MESSAGES = """
SELECT id::text, context_id::text AS "contextId", version, role, content, tool_calls AS "toolCalls",
    tool_call_id AS "toolCallId", tool_name AS "toolName", model, metadata, token_count AS "tokenCount",
    cumulative_tokens, call_version
FROM messages WHERE metadata::jsonb ? 'payload' ORDER BY context_id, version
"""

KEYS = "SELECT context_id::text, key, first_version, last_version FROM append_keys"

CONTEXT_KEYS = "SELECT context_id::text, key FROM context_keys"

# Names as the API has them, and the times in seconds since 1970 besides.
COMPACTIONS = """
SELECT number, context_id::text AS "contextId", through_version AS "throughVersion",
    made_at_version AS "madeAtVersion", based_on AS "basedOn", role, summary, metadata, token_count AS "tokenCount",
    to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "createdAt",
    to_char(undone_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "undoneAt",
    extract(epoch FROM created_at)::double precision AS made, extract(epoch FROM undone_at)::double precision AS undone
FROM compactions ORDER BY context_id, number
"""

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


class Stored:
    """What PostgreSQL holds, at one moment. A fork's begins with what its parent has up to its version."""

    def __init__(self, url: str) -> None:
        with psycopg.connect(url, row_factory=dict_row) as conn:
            conn.isolation_level = IsolationLevel.REPEATABLE_READ
            self.contexts: dict[str, Row] = {row["id"]: row for row in conn.execute(CONTEXTS)}
            self.named: dict[str, Row] = {row["name"]: row for row in self.contexts.values()}
            self.appended: dict[str, list[Message]] = defaultdict(list)
            for row in conn.execute(MESSAGES):
                self.appended[row["contextId"]].append(row)
            self.keys = {(row["context_id"], row["key"]): row for row in conn.execute(KEYS)}
            self.context_keys: dict[str, str] = {row["key"]: row["context_id"] for row in conn.execute(CONTEXT_KEYS)}
            self.made: dict[str, list[Row]] = defaultdict(list)
            for row in conn.execute(COMPACTIONS):
                self.made[row["contextId"]].append(row)
        self.messages: dict[str, list[Message]] = defaultdict(list)
        self.compactions: dict[str, list[Row]] = defaultdict(list)
        for context_id, row in self.contexts.items():
            parent = row["parent_id"]
            self.messages[context_id] = self.messages[parent][: row["fork_version"] or 0] + self.appended[context_id]
            self.compactions[context_id] = self.compactions[parent][: self.shared(context_id)] + self.made[context_id]
        self._histories: dict[str, list[rule.Message]] = {}

    def shared(self, context_id: str) -> int:
        """How many compactions a fork sees of its parent: of those that it counts it has made the others."""
        count: int = self.contexts[context_id]["compaction_count"]
        return max(0, count - len(self.made[context_id]))

    def revision(self, context_id: str) -> int:
        """What its windows' ETags count: with compactions that it shares, changes of all whose history it shares."""
        shared = self.messages[context_id][: self.contexts[context_id]["fork_version"]]
        owners = {row["contextId"] for row in (*shared, *self.compactions[context_id])}
        counted = owners | {context_id} if self.shared(context_id) else {context_id}
        return sum(self.contexts[owner]["revision"] for owner in counted)

    def history(self, context_id: str) -> list[rule.Message]:
        """The messages of a context, as the rule looks at them."""
        if context_id not in self._histories:
            self._histories[context_id] = rule.history(self.messages[context_id])
        return self._histories[context_id]

    def ruled(self, context_id: str) -> list[rule.Compaction]:
        """The compactions of a context, as the rule looks at them."""
        return [
            rule.Compaction(
                row["number"],
                row["throughVersion"],
                row["madeAtVersion"],
                row["tokenCount"],
                row["made"],
                row["undone"],
            )
            for row in self.compactions[context_id]
        ]

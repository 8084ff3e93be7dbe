"""The worlds of the plan matrix: long histories and forks of them, alone, and beside contexts by the thousand."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.sql import SQL, Identifier

from lib.forks import FORK, MAX_ANCESTORS
from scripts import migrate

type Connection = psycopg.Connection[Any]

LONG = 100_000
SHORT = 2
SHORT_CONTEXTS = 30_000

# Each message of the long history; those of the history of images have none.
TOKENS = 10
HUGE = 1_000_000_000

# Of one context; each reaches half of what had been said when it was made.
COMPACTIONS = 20_000

# What a fork has of its own, and each level of a chain of forks; FEW is where those fork that share little.
OWN = 10
LEVEL = 3
FEW = 100

# Long histories.
LONG_ID, IMAGES_ID, TOOLS_ID, PIPELINED_ID, COMPACTED_ID, METADATA_ID = (UUID(int=number) for number in range(1, 7))
# Forks of them, of which they have gone on by nearly as much as they have; some begin with a huge message.
EARLY_ID, EARLY_IMAGES_ID, EARLY_TOOLS_ID, HUGE_ID, HUGE_IMAGES_ID = (UUID(int=number) for number in range(11, 16))
# Forks with a window of their own, and with a long history of their own.
CLOSE_ID, FAR_ID = UUID(int=21), UUID(int=22)
# A fork that sees half of 20,000 compactions, and one of messages with large metadata.
HALF_ID, LARGE_ID = UUID(int=31), UUID(int=32)
# Forks of forks, as deep as may be; in the last each has a compaction, which is undone.
CHAIN_ID, IMAGES_CHAIN_ID, TOOLS_CHAIN_ID, COMPACTED_CHAIN_ID = (UUID(int=number) for number in range(41, 45))
# A short context, of which thousands are forks.
PARENT_ID = UUID("00000000-0000-4000-8000-000000000000")
START = datetime(2026, 1, 1, tzinfo=UTC)

# World → of the short contexts one in so many is no fork, and how many there are.
WORLDS = {
    "alone": (1, 100),
    "beside thousands, half of them forks": (2, SHORT_CONTEXTS),
    "beside thousands of forks": (SHORT_CONTEXTS // 10, SHORT_CONTEXTS),
}

NEW = "INSERT INTO contexts (id, external_id, metadata) VALUES (%(id)s, %(id)s::text, '{}')"

# Messages behind those that a context has.
FILL = """
WITH context AS (
    UPDATE contexts
    SET message_count = message_count + %(length)s, latest_version = latest_version + %(length)s,
        total_tokens = total_tokens + %(first)s + (%(length)s - 1) * %(tokens)s
    WHERE id = %(id)s
    RETURNING id, latest_version - %(length)s AS behind,
        total_tokens - (%(length)s - 1) * %(tokens)s AS first_tokens
)
INSERT INTO messages (
    context_id, version, role, content, tool_calls, call_ids, tool_call_id, call_version, metadata_bytes, metadata,
    token_count, cumulative_tokens, created_at
)
SELECT id, version, role, to_json(repeat('x', 24)),
    CASE WHEN role = 'assistant' THEN json_build_array(json_build_object('id', 'c')) END,
    CASE WHEN role = 'assistant' THEN ARRAY['c'] END,
    CASE WHEN role = 'tool' THEN 'c' END,
    CASE WHEN role = 'tool' THEN greatest(version - %(lag)s, 0) END,
    CASE WHEN role = 'tool' THEN octet_length(metadata::text) END,
    metadata,
    CASE number WHEN 1 THEN %(first)s ELSE %(tokens)s END, first_tokens + (number - 1) * %(tokens)s,
    %(start)s + version * interval '1 second'
FROM context, generate_series(1, %(length)s) AS number, LATERAL (
    -- A preamble of two and a request, far behind.
    SELECT version, CASE WHEN version <= 2 THEN 'system' WHEN version = 3 THEN 'user'
        ELSE (%(roles)s::text[])[version %% cardinality(%(roles)s) + 1] END AS role
    FROM (VALUES (behind + number)) AS numbered (version)
) AS said, LATERAL (
    -- Of hashes, which cannot be compressed: what is large lies outside of the row.
    SELECT coalesce(json_object_agg(part, md5(version || '-' || part)), '{}') AS metadata
    FROM generate_series(1, CASE role WHEN 'tool' THEN %(metadata)s ELSE 0 END) AS part
) AS described
"""

# Behind those that a context sees; each reaches half of what had been said when it was made.
FILL_COMPACTIONS = """
WITH context AS (
    UPDATE contexts SET compaction_count = compaction_count + %(count)s
    WHERE id = %(id)s
    RETURNING id, latest_version, compaction_count - %(count)s AS behind
)
INSERT INTO compactions (
    context_id, number, through_version, made_at_version, based_on, role, summary, metadata, token_count, json_bytes,
    created_at, undone_at
)
SELECT id, behind + number, greatest(made_at / 2, 1), made_at, behind + number - 1, 'user', 's', '{}', 10, 5,
    %(start)s, %(undone_at)s
FROM context, generate_series(1, %(count)s) AS number, LATERAL (
    SELECT latest_version - (%(count)s - number) * %(every)s AS made_at
) AS made
"""

# The first is the parent of those that are forks, which have one of its messages and one of their own.
FILL_SHORT = """
WITH context AS (
    INSERT INTO contexts (
        id, message_count, latest_version, total_tokens, metadata, external_id, created_at,
        parent_id, fork_version, ancestor_ids, ancestor_versions, ancestor_tokens, ancestor_numbers
    )
    SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, %(length)s, %(length)s,
        %(length)s * %(tokens)s,
        jsonb_build_object('n', n, 'kind', 'short', 'list', '[{"a": 1}, {"b": 2}]'::jsonb),
        'short ' || n, %(start)s + n * interval '1 second', lineage.*
    FROM generate_series(0, %(contexts)s) AS n
    LEFT JOIN LATERAL (
        SELECT %(parent_id)s::uuid, 1, ARRAY[%(parent_id)s::uuid], ARRAY[1], ARRAY[%(tokens)s], ARRAY[0]
        WHERE n %% %(roots)s > 0
    ) AS lineage ON true
    RETURNING id, external_id, latest_version, coalesce(fork_version, 0) AS fork_version
), key AS (
    INSERT INTO context_keys (key, fingerprint, context_id, answer)
    SELECT 'key of ' || external_id, 'f', id, '{"latestVersion": 1, "createdAt": "now", "updatedAt": "now"}'
    FROM context
), compaction AS (
    INSERT INTO compactions (
        context_id, number, through_version, made_at_version, based_on, role, summary, metadata, token_count,
        json_bytes, created_at
    )
    SELECT id, number, latest_version, latest_version, 0, 'user', 's', '{}', 10, 5, %(start)s
    FROM context, generate_series(1, 2) AS number
)
INSERT INTO messages (context_id, version, role, content, token_count, cumulative_tokens, created_at)
SELECT id, version, 'user', to_json(repeat('x', 24)), %(tokens)s, %(tokens)s * version, %(start)s
FROM context, generate_series(fork_version + 1, latest_version) AS version
"""

USERS: Mapping[str, Any] = {"roles": ["user"]}
IMAGES: Mapping[str, Any] = {"roles": ["user"], "tokens": 0}
TOOLS: Mapping[str, Any] = {"roles": ["assistant", "tool"]}
# Calls that are made before the last has been answered.
PIPELINED: Mapping[str, Any] = {**TOOLS, "lag": 3}
# 20 kB for each tool message.
METADATA: Mapping[str, Any] = {**TOOLS, "metadata": 640}


@contextmanager
def database(server: Connection, server_url: str, name: str, template: str = "template1") -> Iterator[str]:
    """The URL of a new database of a server."""
    new = SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
    server.execute(new.format(Identifier(name), Identifier(template)))
    try:
        yield server_url.replace("/postgres?", f"/{name}?")
    finally:
        server.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


def fill_long(url: str) -> None:
    """Migrates a database, and makes the long histories and their forks in it; nothing is analyzed."""
    list(migrate.up(url))
    with psycopg.connect(url, autocommit=True) as conn:
        for table in ("contexts", "messages", "context_keys", "append_keys", "compactions"):
            conn.execute(SQL("ALTER TABLE {} SET (autovacuum_enabled = false)").format(Identifier(table)))
        for context_id, length, members in (
            (LONG_ID, LONG, USERS),
            (IMAGES_ID, LONG, IMAGES),
            (TOOLS_ID, LONG, TOOLS),
            (PIPELINED_ID, LONG, PIPELINED),
            (COMPACTED_ID, LONG, TOOLS),
            (METADATA_ID, 1_000, METADATA),
        ):
            conn.execute(NEW, {"id": context_id})
            _say(conn, context_id, length, members)
        _compact(conn, COMPACTED_ID, COMPACTIONS, every=LONG // COMPACTIONS)
        for context_id, parent_id, version, length, members in (
            (EARLY_ID, LONG_ID, FEW, OWN, USERS),
            (EARLY_IMAGES_ID, IMAGES_ID, FEW, OWN, IMAGES),
            (EARLY_TOOLS_ID, PIPELINED_ID, FEW, OWN, PIPELINED),
            (HUGE_ID, LONG_ID, FEW, OWN, {**USERS, "first": HUGE}),
            (HUGE_IMAGES_ID, IMAGES_ID, FEW, OWN, {**IMAGES, "first": HUGE}),
            (CLOSE_ID, LONG_ID, LONG, FEW, USERS),
            (FAR_ID, TOOLS_ID, LONG // 2, LONG, TOOLS),
            (HALF_ID, COMPACTED_ID, LONG // 2, OWN, TOOLS),
            (LARGE_ID, METADATA_ID, 500, OWN, METADATA),
        ):
            _fork(conn, parent_id, version, context_id)
            _say(conn, context_id, length, members)
        _compact(conn, HALF_ID, OWN // 2)
        for last_id, parent_id, members in (
            (CHAIN_ID, TOOLS_ID, USERS),
            (IMAGES_CHAIN_ID, IMAGES_ID, IMAGES),
            (TOOLS_CHAIN_ID, TOOLS_ID, TOOLS),
            (COMPACTED_CHAIN_ID, COMPACTED_ID, TOOLS),
        ):
            context_id = parent_id
            for level in range(1, MAX_ANCESTORS + 1):
                context_id = _fork(conn, context_id, None, last_id if level == MAX_ANCESTORS else None)
                _say(conn, context_id, LEVEL, members)
                if last_id == COMPACTED_CHAIN_ID:
                    _compact(conn, context_id, 1, undone_at=START)
        # Those between, so that they are in no list.
        conn.execute("UPDATE contexts SET deleted_at = now() WHERE external_id IS NULL")


def fill_short(url: str, world: str) -> None:
    """Makes the short contexts of a world."""
    roots, contexts = WORLDS[world]
    short = {"length": SHORT, "tokens": TOKENS, "start": START, "parent_id": PARENT_ID}
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(FILL_SHORT, {**short, "roots": roots, "contexts": contexts})


def _say(conn: Connection, context_id: UUID, length: int, members: Mapping[str, Any]) -> None:
    plain = {"tokens": TOKENS, "lag": 1, "metadata": 0, **members}
    conn.execute(FILL, {"first": plain["tokens"], **plain, "id": context_id, "length": length, "start": START})


def _compact(
    conn: Connection, context_id: UUID, count: int, *, every: int = 1, undone_at: datetime | None = None
) -> None:
    given = {"id": context_id, "count": count, "every": every, "undone_at": undone_at, "start": START}
    conn.execute(FILL_COMPACTIONS, given)


def _fork(conn: Connection, parent_id: UUID, version: int | None, new_id: UUID | None) -> UUID:
    """A fork, under an id of its own or under new_id."""
    parameters = {"parent_id": parent_id, "body": "{}", "version": version, "policy": None, "expected_version": None}
    cursor = conn.execute(FORK[False], {**parameters, "key": None, "fingerprint": None})
    [(fork_id, *_)] = cursor.fetchall()
    if new_id is None:
        return UUID(str(fork_id))
    conn.execute("UPDATE contexts SET id = %s, external_id = %s WHERE id = %s", [new_id, str(new_id), fork_id])
    return new_id

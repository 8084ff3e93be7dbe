"""Contexts in PostgreSQL: create, list, read, update and delete. Rows leave as JSON text, as messages do."""

import base64
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection, AsyncCursor
from psycopg.errors import UniqueViolation
from psycopg.rows import class_row

from lib import errors
from lib.errors import Place
from lib.models import Idempotency

# A context as this API answers with it. models.Context says the same in Python; a test holds the two together.
CONTEXT_JSON = """(
    SELECT row_to_json(shape)::text FROM (
        SELECT context.id, context.name, context.metadata,
            context.message_count AS "messageCount", context.total_tokens AS "totalTokens",
            context.latest_version AS "latestVersion",
            context.parent_id AS "parentId", context.fork_version AS "forkVersion",
            to_char(context.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "createdAt",
            to_char(context.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "updatedAt",
            to_char(context.deleted_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "deletedAt"
    ) AS shape
)"""


@dataclass(frozen=True, slots=True)
class ContextRow:
    """A context: its JSON text, and what code decides on."""

    id: UUID
    latest_version: int
    created_at: datetime
    etag: str
    json: str

    @property
    def cursor(self) -> str:
        """The opaque cursor of the page after this context."""
        return base64.urlsafe_b64encode(f"{self.created_at.isoformat()}/{self.id}".encode()).decode()


# The latest version, and the microsecond of the last change for what is no message.
ETAG = """format('"%%s.%%s"', context.latest_version, (extract(epoch FROM context.updated_at) * 1000000)::bigint)"""

COLUMNS = f"context.id, context.latest_version, context.created_at, {ETAG} AS etag, {CONTEXT_JSON} AS json"


# As with an append, a key that a request in flight is claiming cannot be seen, but breaks context_keys_pkey.
CREATE = f"""
WITH context AS (
    INSERT INTO contexts (name, metadata)
    SELECT body.name, coalesce(body.metadata, '{{}}')
    FROM json_to_record(%(body)s::json) AS body (name text, metadata jsonb)
    WHERE NOT EXISTS (SELECT FROM context_keys WHERE key = %(key)s)
    RETURNING *
), claim AS (
    INSERT INTO context_keys (key, fingerprint, context_id)
    SELECT %(key)s, %(fingerprint)s, id FROM context WHERE %(key)s::text IS NOT NULL
)
SELECT {COLUMNS} FROM context
"""

# The context as it was when it was new: what has come to it since is not in the first answer.
CREATED = f"""
SELECT {COLUMNS}
FROM context_keys, LATERAL (
    SELECT contexts.id, body.name, coalesce(body.metadata, '{{}}') AS metadata, 0 AS message_count,
        0 AS total_tokens, 0 AS latest_version, contexts.parent_id, contexts.fork_version,
        contexts.created_at, contexts.created_at AS updated_at, NULL::timestamptz AS deleted_at
    FROM contexts, json_to_record(%(body)s::json) AS body (name text, metadata jsonb)
    WHERE contexts.id = context_keys.context_id
) AS context
WHERE context_keys.key = %(key)s AND context_keys.fingerprint = %(fingerprint)s
"""


async def create(
    conn: AsyncConnection[Any], *, body: str, idempotency: Idempotency | None = None
) -> tuple[ContextRow, bool]:
    """The new context, from the JSON text of a models.NewContext, and whether an earlier request had made it.

    Raises IdempotencyKeyReused.
    """
    parameters = {
        "body": body,
        "key": idempotency and idempotency.key,
        "fingerprint": idempotency and idempotency.fingerprint,
    }
    async with _cursor(conn) as cursor:
        with suppress(UniqueViolation):
            await cursor.execute(CREATE, parameters)
            if row := await cursor.fetchone():
                return row, False
        await cursor.execute(CREATED, parameters)
        row = await cursor.fetchone()
    if row is None:
        raise errors.IdempotencyKeyReused
    return row, True


READ = f"SELECT {COLUMNS} FROM contexts AS context WHERE id = %(context_id)s AND deleted_at IS NULL"


async def read(conn: AsyncConnection[Any], context_id: UUID) -> ContextRow:
    """The context. Raises ContextNotFound."""
    async with _cursor(conn) as cursor:
        await cursor.execute(READ, {"context_id": context_id})
        return await _only(cursor)


UPDATE = f"""
UPDATE contexts AS context
SET name = CASE WHEN body ? 'name' THEN body ->> 'name' ELSE name END,
    metadata = CASE jsonb_typeof(body -> 'metadata')
        WHEN 'object' THEN json_merge_patch(metadata, body -> 'metadata')
        WHEN 'null' THEN '{{}}'
        ELSE metadata
    END,
    updated_at = clock_timestamp()
FROM (SELECT %(body)s::jsonb AS body) AS patch
WHERE id = %(context_id)s AND deleted_at IS NULL AND (%(etags)s::text[] IS NULL OR {ETAG} = ANY (%(etags)s))
RETURNING {COLUMNS}
"""


async def update(
    conn: AsyncConnection[Any], context_id: UUID, *, body: str, etags: Sequence[str] | None = None
) -> ContextRow:
    """The context after the JSON text of a models.ContextPatch, if it has one of etags or none are given.

    Raises ContextNotFound, PreconditionFailed.
    """
    return await _change(conn, UPDATE, {"context_id": context_id, "body": body, "etags": etags})


DELETE = f"""
UPDATE contexts AS context
SET deleted_at = clock_timestamp(), updated_at = clock_timestamp()
WHERE id = %(context_id)s AND deleted_at IS NULL AND (%(etags)s::text[] IS NULL OR {ETAG} = ANY (%(etags)s))
RETURNING {COLUMNS}
"""


async def delete(conn: AsyncConnection[Any], context_id: UUID, *, etags: Sequence[str] | None = None) -> ContextRow:
    """The context, now deleted, if it had one of etags or none are given; its messages stay where they are.

    Raises ContextNotFound, PreconditionFailed.
    """
    return await _change(conn, DELETE, {"context_id": context_id, "etags": etags})


# Without a filter there must be no `metadata @> …` at all: the planner would walk the whole GIN index for it.
# (order, filtered) → statement. Keyset: the row comparison is one range of contexts_created_at_idx.
LIST = {
    (order, filtered): f"""
    SELECT {COLUMNS}
    FROM contexts AS context
    WHERE deleted_at IS NULL
        AND (created_at, id) {after} (
            coalesce(%(created_at)s, timestamptz '{start}'), coalesce(%(id)s, uuid '{start_id}')
        )
        {"AND metadata @> %(metadata)s::jsonb" if filtered else ""}
    ORDER BY created_at {order}, id {order}
    LIMIT %(limit)s
    """
    for filtered in (False, True)
    for order, after, start, start_id in (
        ("asc", ">", "-infinity", UUID(int=0)),
        ("desc", "<", "infinity", UUID(int=2**128 - 1)),
    )
}


async def list_page(
    conn: AsyncConnection[Any], *, limit: int, order: str, cursor: str | None = None, metadata: str | None = None
) -> list[ContextRow]:
    """Up to limit + 1 contexts by time of creation; the last one only says that there are more.

    cursor is that of the last context before; metadata is the JSON text of an object that theirs must contain.
    Raises InvalidParameter for a cursor that is none.
    """
    created_at, context_id = (None, None) if cursor is None else _decode(cursor)
    async with _cursor(conn) as rows:
        await rows.execute(
            LIST[order, metadata is not None],
            {"created_at": created_at, "id": context_id, "metadata": metadata, "limit": limit + 1},
            # How many contexts match depends on the filter, and so must the plan: prepared, it would not.
            prepare=None if metadata is None else False,
        )
        return await rows.fetchall()


def _decode(cursor: str) -> tuple[datetime, UUID]:
    try:
        created_at, _, context_id = base64.b64decode(cursor, altchars="-_", validate=True).decode().partition("/")
        return datetime.fromisoformat(created_at), UUID(context_id)
    except ValueError:
        raise errors.InvalidParameter(places=[Place("/cursor", "not a cursor that this list gave")]) from None


def _cursor(conn: AsyncConnection[Any]) -> AsyncCursor[ContextRow]:
    return conn.cursor(row_factory=class_row(ContextRow))


async def _change(conn: AsyncConnection[Any], statement: str, parameters: dict[str, Any]) -> ContextRow:
    async with _cursor(conn) as cursor:
        await cursor.execute(statement, parameters)
        if row := await cursor.fetchone():
            return row
    current = await read(conn, parameters["context_id"])
    raise errors.PreconditionFailed(current.latest_version)


async def _only(cursor: AsyncCursor[ContextRow]) -> ContextRow:
    row = await cursor.fetchone()
    if row is None:
        raise errors.ContextNotFound
    return row

"""Messages in PostgreSQL: append a batch, page through a context. Rows leave as JSON text and are never edited."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.errors import UniqueViolation
from psycopg.rows import args_row, class_row

from lib import errors
from lib.errors import Place
from lib.models import Idempotency

# A message as this API answers with it. models.Message says the same in Python; a test holds the two together.
MESSAGE_JSON = """(
    SELECT row_to_json(shape)::text FROM (
        SELECT message.id, message.context_id AS "contextId", message.version, message.role, message.content,
            message.tool_calls AS "toolCalls", message.tool_call_id AS "toolCallId",
            message.tool_name AS "toolName", message.model, message.metadata,
            message.token_count AS "tokenCount", message.embedding IS NOT NULL AS "hasEmbedding",
            to_char(message.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "createdAt"
    ) AS shape
)"""


# No batch is larger, and no page: what comes before the last message of either is never more.
MAX_BYTES = 4_500_000

# What a message's JSON has beyond what its client sent, at most, in bytes: names, ids, a time and numbers; a test
# holds it.
ENVELOPE_BYTES = 400


class MessageRow(NamedTuple):
    """A message's version and JSON text beside its context's latest version; no message at all is version 0.

    A named tuple in the order of the statements' columns, because pages are read in bulk.
    """

    latest_version: int
    version: int
    json: str


@dataclass(frozen=True, slots=True)
class Appended:
    """The stored messages, oldest first, the version of the newest, and whether a request before had stored them."""

    rows: Sequence[MessageRow]
    version: int
    replayed: bool


# One statement and so one round trip: the update takes the row lock that puts writers in line, and all of it happens
# or nothing. The texts come from the request itself and are kept to the letter. A key that a request in flight is
# claiming cannot be seen, but breaks append_keys_pkey.
APPEND = f"""
WITH context AS (
    UPDATE contexts
    SET message_count = message_count + %(count)s,
        total_tokens = total_tokens + %(tokens)s,
        latest_version = latest_version + %(count)s,
        updated_at = clock_timestamp()
    WHERE id = %(context_id)s AND deleted_at IS NULL
        AND (%(expected_versions)s::bigint[] IS NULL OR latest_version = ANY (%(expected_versions)s))
        AND NOT EXISTS (SELECT FROM append_keys WHERE context_id = %(context_id)s AND key = %(key)s)
    RETURNING id, latest_version, latest_version - %(count)s AS base_version,
        total_tokens - %(tokens)s AS base_tokens, updated_at
), claim AS (
    INSERT INTO append_keys (context_id, key, fingerprint, first_version, last_version)
    SELECT id, %(key)s, %(fingerprint)s, base_version + 1, latest_version FROM context WHERE %(key)s::text IS NOT NULL
)
INSERT INTO messages AS message (
    context_id, version, role, content, tool_calls, call_ids, tool_call_id, tool_name, model, metadata,
    token_count, cumulative_tokens, created_at, embedding
)
SELECT context.id, context.base_version + batch.position, batch.role, batch.content, batch.tool_calls,
    (SELECT array_agg(call ->> 'id') FROM json_array_elements(batch.tool_calls) AS call),
    batch.tool_call_id, batch.tool_name, batch.model, coalesce(batch.metadata, '{{}}'),
    batch.token_count, context.base_tokens + batch.running_tokens, context.updated_at, batch.embedding
FROM context, ROWS FROM (
    json_to_recordset(%(body)s::json -> 'messages') AS (
        role text, content json, "toolCalls" json, "toolCallId" text, "toolName" text, model text, metadata json
    ),
    unnest(%(token_counts)s::integer[]),
    unnest(%(running_tokens)s::bigint[]),
    unnest(%(embeddings)s::vector[])
) WITH ORDINALITY AS batch (
    role, content, tool_calls, tool_call_id, tool_name, model, metadata,
    token_count, running_tokens, embedding, position
)
RETURNING (SELECT latest_version FROM context), version, {MESSAGE_JSON} AS json
"""


async def append(
    conn: AsyncConnection[Any],
    context_id: UUID,
    *,
    body: str,
    token_counts: Sequence[int],
    embeddings: Sequence[Sequence[float] | None],
    expected_versions: Sequence[int] | None = None,
    idempotency: Idempotency | None = None,
) -> Appended:
    """Stores the JSON text of a models.Append: all of its messages or none.

    token_counts (tokens) and embeddings have one entry per message. expected_versions, where given, must include the
    context's latest version. Raises ContextNotFound, VersionConflict, IdempotencyKeyReused.
    """
    async with conn.cursor(row_factory=args_row(MessageRow)) as cursor:
        try:
            await cursor.execute(
                APPEND,
                {
                    "context_id": context_id,
                    "body": body,
                    "count": len(token_counts),
                    "tokens": sum(token_counts),
                    "token_counts": list(token_counts),
                    "running_tokens": list(accumulate(token_counts)),
                    "embeddings": _vectors(embeddings),
                    "expected_versions": expected_versions,
                    "key": idempotency and idempotency.key,
                    "fingerprint": idempotency and idempotency.fingerprint,
                },
            )
            rows = await cursor.fetchall()
        except UniqueViolation as error:
            if error.diag.constraint_name != "append_keys_pkey":
                raise
            rows = []
    if not rows:
        return await _not_stored(conn, context_id, idempotency)
    return Appended(rows, rows[-1].version, replayed=False)


@dataclass(frozen=True, slots=True)
class Claim:
    """A context's latest version, and what the key in question stands for, if anything."""

    latest_version: int
    fingerprint: bytes | None
    first_version: int | None
    last_version: int | None


CLAIM = """
SELECT context.latest_version, claim.fingerprint, claim.first_version, claim.last_version
FROM contexts AS context
LEFT JOIN append_keys AS claim ON claim.context_id = context.id AND claim.key = %(key)s
WHERE context.id = %(context_id)s AND context.deleted_at IS NULL
"""


async def _not_stored(conn: AsyncConnection[Any], context_id: UUID, idempotency: Idempotency | None) -> Appended:
    """The first answer to the same key; raises why nothing was stored where there is none."""
    async with conn.cursor(row_factory=class_row(Claim)) as cursor:
        await cursor.execute(CLAIM, {"context_id": context_id, "key": idempotency and idempotency.key})
        claim = await cursor.fetchone()
    if claim is None:
        raise errors.ContextNotFound
    if idempotency is None or claim.first_version is None or claim.last_version is None:
        raise errors.VersionConflict(claim.latest_version)
    if claim.fingerprint != idempotency.fingerprint:
        raise errors.IdempotencyKeyReused
    count = claim.last_version - claim.first_version + 1
    rows, _ = await page(conn, context_id, cursor=claim.first_version - 1, at=claim.last_version, limit=count)
    return Appended(rows, claim.last_version, replayed=True)


def _vectors(embeddings: Sequence[Sequence[float] | None]) -> list[str | None] | None:
    """pgvector's text of each embedding; None where there is none at all, so that pgvector need not be imported."""
    if not any(embeddings):
        return None
    from pgvector import Vector  # noqa: PLC0415 - most appends have no embedding, and cold starts pay for imports

    return [None if embedding is None else Vector(embedding).to_text() for embedding in embeddings]


# order → statement. The sum stops before PostgreSQL sends more than can be answered. The context's row comes even where
# no message does, to tell an empty page from an unknown context.
PAGE = {
    order: f"""
    SELECT context.latest_version, coalesce(page.version, 0), page.json
    FROM contexts AS context
    LEFT JOIN LATERAL (
        SELECT message.version, {MESSAGE_JSON} AS json
        FROM (
            SELECT found.*,
                sum(json_bytes) OVER (ORDER BY version {order} ROWS UNBOUNDED PRECEDING) - json_bytes AS bytes_before
            FROM messages AS found
            WHERE context_id = context.id AND deleted_at IS NULL
                AND version {after} coalesce(%(cursor)s, {start})
                AND version <= coalesce(%(at)s, context.latest_version)
            ORDER BY version {order}
            LIMIT %(limit)s
        ) AS message
        WHERE message.bytes_before <= {MAX_BYTES}
    ) AS page ON true
    WHERE context.id = %(context_id)s AND context.deleted_at IS NULL
    ORDER BY page.version {order}
    """
    for order, after, start in (("asc", ">", "0"), ("desc", "<", "context.latest_version + 1"))
}


async def page(
    conn: AsyncConnection[Any],
    context_id: UUID,
    *,
    limit: int,
    order: str = "asc",
    cursor: int | None = None,
    at: int | None = None,
) -> tuple[list[MessageRow], int]:
    """Up to limit + 1 messages after version cursor and no newer than version at, and the context's latest version.

    The last message of limit + 1 only says that there are more. Raises ContextNotFound, InvalidParameter.
    """
    async with conn.cursor(row_factory=args_row(MessageRow)) as rows:
        await rows.execute(PAGE[order], {"context_id": context_id, "cursor": cursor, "at": at, "limit": limit + 1})
        found = await rows.fetchall()
    if not found:
        raise errors.ContextNotFound
    latest_version = found[0].latest_version
    check_at(at, latest_version)
    return found if found[0].version else [], latest_version


def check_at(at: int | None, latest_version: int) -> None:
    """Raises InvalidParameter where the context has not reached version at yet."""
    if at is not None and at > latest_version:
        raise errors.InvalidParameter(
            places=[Place("/at", f"must be a version from 0 to the latest, which is {latest_version}")]
        )

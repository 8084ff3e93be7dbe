"""Contexts in PostgreSQL: create, read, update and delete. Rows leave as JSON text, as messages do."""

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg import AsyncConnection, AsyncCursor
from psycopg.errors import DeadlockDetected, IntegrityError
from psycopg.rows import args_row, class_row, scalar_row
from psycopg.types.numeric import Int8

from lib import errors
from lib.errors import Place
from lib.models import Holder, Idempotency

# A context as this API answers with it. shapes.Context says the same in Python; a test holds the two together.
CONTEXT_JSON = """(
    SELECT row_to_json(shape)::text FROM (
        SELECT context.id, context.name, context.external_id AS "externalId", context.metadata, context.policy,
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


@dataclass(frozen=True, slots=True)
class Made(ContextRow):
    """A context that a creation is answered with, in the order of the statements' columns.

    origin: new, found (a living one has its external id) or replayed (an earlier request with the same key made it);
    fingerprint is that of that request's payload.
    """

    origin: Literal["new", "found", "replayed"]
    fingerprint: bytes | None

    def for_key(self, idempotency: Idempotency | None) -> "Made":
        """Itself. Raises IdempotencyKeyReused where the request before had another payload."""
        if idempotency and self.origin == "replayed" and self.fingerprint != idempotency.fingerprint:
            raise errors.IdempotencyKeyReused
        return self


# A replay is answered as the first request was. Rows of the release before kept no answer: it is made from the body
# once more, as what has come to the context since was not in it.
CREATE = f"""
WITH body AS MATERIALIZED (
    SELECT name, "externalId" AS external_id, coalesce(metadata, '{{}}') AS metadata
    FROM json_to_record(%(body)s::json) AS body (name text, "externalId" text, metadata jsonb)
), claimed AS (
    SELECT context_keys.fingerprint, context_keys.answer, contexts.id, contexts.created_at
    FROM context_keys JOIN contexts ON contexts.id = context_keys.context_id
    WHERE context_keys.key = %(key)s
), found AS (
    SELECT * FROM contexts
    WHERE external_id = %(external_id)s AND deleted_at IS NULL AND NOT EXISTS (SELECT FROM claimed)
), new AS (
    INSERT INTO contexts (name, external_id, metadata, policy)
    SELECT name, external_id, metadata, %(policy)s FROM body
    WHERE NOT EXISTS (SELECT FROM claimed) AND NOT EXISTS (SELECT FROM found)
    ON CONFLICT (external_id) WHERE deleted_at IS NULL AND external_id IS NOT NULL DO NOTHING
    RETURNING *
), answered AS MATERIALIZED (
    SELECT {COLUMNS}, origin
    FROM (SELECT *, 'new' AS origin FROM new UNION ALL SELECT *, 'found' FROM found) AS context
), claim AS (
    INSERT INTO context_keys (key, fingerprint, context_id, answer)
    SELECT %(key)s, %(fingerprint)s, id, json::json FROM answered WHERE origin = 'new' AND %(key)s::text IS NOT NULL
)
SELECT *, NULL::bytea AS fingerprint FROM answered
UNION ALL
SELECT context.id, 0, context.created_at, {ETAG}, coalesce(context.answer::text, {CONTEXT_JSON}),
    'replayed', context.fingerprint
FROM (
    SELECT claimed.*, body.name, body.external_id, body.metadata, '{{}}'::jsonb AS policy,
        0 AS message_count, 0 AS total_tokens, 0 AS latest_version,
        NULL::uuid AS parent_id, NULL::bigint AS fork_version,
        claimed.created_at AS updated_at, NULL::timestamptz AS deleted_at
    FROM claimed, body
) AS context
"""


async def create(
    conn: AsyncConnection[Any],
    *,
    body: str,
    external_id: str | None = None,
    policy: str = "{}",
    idempotency: Idempotency | None = None,
) -> Made:
    """The context from the JSON texts of a models.NewContext and its Policy.

    Where a living one has its external_id, that one, unchanged. One round trip; a second one only where another request
    is making the same context at this moment.
    Raises IdempotencyKeyReused, and InvalidBody for metadata that is too large as it is stored.
    """
    parameters = {
        "body": body,
        "external_id": external_id,
        "policy": policy,
        "key": idempotency and idempotency.key,
        "fingerprint": idempotency and idempotency.fingerprint,
    }
    async with conn.cursor(row_factory=args_row(Made)) as cursor:
        made = None
        while made is None:
            # Neither a key nor an external id that a request in flight is claiming can be seen. The key breaks
            # context_keys_pkey, the external id makes no row; both can be seen then.
            with refusals():
                await cursor.execute(CREATE, parameters)
                made = await cursor.fetchone()
    return made.for_key(idempotency)


READ = f"SELECT {COLUMNS} FROM contexts AS context WHERE id = %(context_id)s AND deleted_at IS NULL"


async def read(conn: AsyncConnection[Any], context_id: UUID) -> ContextRow:
    """The context. Raises ContextNotFound."""
    async with _cursor(conn) as cursor:
        await cursor.execute(READ, {"context_id": context_id})
        return await _only(cursor)


# Later than the change before, even where the clock is not: what has changed must have another ETag.
CHANGED_AT = "greatest(clock_timestamp(), context.updated_at + interval '1 microsecond')"

# Whether it takes another context's external id → statement. That one is locked, and gives the id up before this one
# takes it, as the one is joined to the other.
UPDATE = {
    takes: f"""
{freed}UPDATE contexts AS context
SET name = CASE WHEN body ? 'name' THEN body ->> 'name' ELSE name END,
    external_id = {external_id},
    metadata = CASE jsonb_typeof(body -> 'metadata')
        WHEN 'object' THEN json_merge_patch(metadata, body -> 'metadata')
        WHEN 'null' THEN '{{}}'
        ELSE metadata
    END,
    policy = CASE jsonb_typeof(%(policy)s::jsonb)
        WHEN 'object' THEN json_merge_patch(policy, %(policy)s::jsonb)
        WHEN 'null' THEN '{{}}'
        ELSE policy
    END,
    revision = revision + (%(policy)s::jsonb IS NOT NULL)::integer,
    updated_at = {CHANGED_AT}
FROM (SELECT %(body)s::jsonb AS body) AS patch {joined}
WHERE context.id = %(context_id)s AND deleted_at IS NULL AND (%(etags)s::text[] IS NULL OR {ETAG} = ANY (%(etags)s))
RETURNING {COLUMNS}
"""
    for takes, freed, external_id, joined in (
        (False, "", "CASE WHEN body ? 'externalId' THEN body ->> 'externalId' ELSE external_id END", ""),
        (
            True,
            f"""WITH holder AS MATERIALIZED (
    SELECT id, external_id AS taken, latest_version
    FROM contexts
    WHERE id = %(holder_id)s AND id <> %(context_id)s AND deleted_at IS NULL AND external_id IS NOT NULL
    FOR NO KEY UPDATE
), wanted AS (
    SELECT context.id
    FROM contexts AS context
    WHERE id = %(context_id)s AND deleted_at IS NULL AND (%(etags)s::text[] IS NULL OR {ETAG} = ANY (%(etags)s))
    FOR NO KEY UPDATE
), freed AS (
    UPDATE contexts AS context
    SET external_id = NULL, updated_at = {CHANGED_AT}
    FROM holder, wanted
    WHERE context.id = holder.id
        AND (%(expected_version)s::bigint IS NULL OR holder.latest_version = %(expected_version)s)
    RETURNING taken
)
""",
            "taken",
            "CROSS JOIN freed",
        ),
    )
}


async def update(
    conn: AsyncConnection[Any],
    context_id: UUID,
    *,
    body: str,
    policy: str | None = None,
    holder: Holder | None = None,
    etags: Sequence[str] | None = None,
) -> ContextRow:
    """The context after the JSON texts of a models.ContextPatch and its Policy, which is None where that stays.

    It takes the external id of holder, if any, and must have one of etags where these are given. Raises
    ContextNotFound, PreconditionFailed, ExternalIdTaken, InvalidBody for metadata that grows too large, and of the
    holder ExternalIdMissing and VersionConflict.
    """
    parameters = {"context_id": context_id, "body": body, "policy": policy, "etags": etags}
    if holder:
        expected = holder.expected_version
        parameters |= {"holder_id": holder.context_id, "expected_version": None if expected is None else Int8(expected)}
    with refusals():
        # Two contexts that swap their external ids wait for each other, until PostgreSQL ends one of the statements.
        # That may happen again, until the request's time is up.
        while True:
            with suppress(DeadlockDetected):
                try:
                    return await _change(conn, UPDATE[holder is not None], parameters)
                except errors.PreconditionFailed:
                    if holder:
                        await _check_holder(conn, context_id, holder)
                    if etags is not None:
                        raise


HOLDER = "SELECT latest_version FROM contexts WHERE id = %(id)s AND deleted_at IS NULL AND external_id IS NOT NULL"


async def _check_holder(conn: AsyncConnection[Any], context_id: UUID, holder: Holder) -> None:
    """Raises ExternalIdMissing or VersionConflict where that is why the holder did not give its external id up."""
    async with conn.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(HOLDER, {"id": holder.context_id})
        version = await cursor.fetchone()
    if version is None or holder.context_id == context_id:
        raise errors.ExternalIdMissing
    if holder.expected_version not in (None, version):
        raise errors.VersionConflict(version)


# OFFSET 0 keeps the time from being read twice.
DELETE = f"""
UPDATE contexts AS context
SET (updated_at, deleted_at) = (SELECT moment, moment FROM (SELECT {CHANGED_AT} AS moment OFFSET 0) AS change)
WHERE id = %(context_id)s AND deleted_at IS NULL AND (%(etags)s::text[] IS NULL OR {ETAG} = ANY (%(etags)s))
RETURNING {COLUMNS}
"""


async def delete(conn: AsyncConnection[Any], context_id: UUID, *, etags: Sequence[str] | None = None) -> ContextRow:
    """The context, now deleted, if it had one of etags or none are given; its messages stay where they are.

    Raises ContextNotFound, PreconditionFailed.
    """
    return await _change(conn, DELETE, {"context_id": context_id, "etags": etags})


@contextmanager
def refusals() -> Iterator[None]:
    """Raises what a client is told of the rules of the table that it has broken; passes over a key that is taken."""
    try:
        yield
    except IntegrityError as error:
        match error.diag.constraint_name:
            case "context_keys_pkey":
                return
            case "contexts_external_id_key":
                raise errors.ExternalIdTaken from error
            case "context_metadata_size_check":
                raise errors.InvalidBody(places=[Place("/metadata", errors.METADATA_TOO_LARGE)]) from error
        raise


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

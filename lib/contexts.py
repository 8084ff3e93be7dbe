"""Contexts in PostgreSQL: create, list, read, update and delete. Rows leave as JSON text, as messages do."""

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg import AsyncConnection, AsyncCursor
from psycopg.errors import DeadlockDetected, IntegrityError
from psycopg.rows import args_row, class_row

from lib import errors
from lib.errors import Place
from lib.models import MAX_BODY_BYTES, Idempotency

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
    if idempotency and made.origin == "replayed" and made.fingerprint != idempotency.fingerprint:
        raise errors.IdempotencyKeyReused
    return made


READ = f"SELECT {COLUMNS} FROM contexts AS context WHERE id = %(context_id)s AND deleted_at IS NULL"


async def read(conn: AsyncConnection[Any], context_id: UUID) -> ContextRow:
    """The context. Raises ContextNotFound."""
    async with _cursor(conn) as cursor:
        await cursor.execute(READ, {"context_id": context_id})
        return await _only(cursor)


# Later than the change before, even where the clock is not: what has changed must have another ETag.
CHANGED_AT = "greatest(clock_timestamp(), context.updated_at + interval '1 microsecond')"

UPDATE = f"""
UPDATE contexts AS context
SET name = CASE WHEN body ? 'name' THEN body ->> 'name' ELSE name END,
    external_id = CASE WHEN body ? 'externalId' THEN body ->> 'externalId' ELSE external_id END,
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
FROM (SELECT %(body)s::jsonb AS body) AS patch
WHERE id = %(context_id)s AND deleted_at IS NULL AND (%(etags)s::text[] IS NULL OR {ETAG} = ANY (%(etags)s))
RETURNING {COLUMNS}
"""


async def update(
    conn: AsyncConnection[Any],
    context_id: UUID,
    *,
    body: str,
    policy: str | None = None,
    etags: Sequence[str] | None = None,
) -> ContextRow:
    """The context after the JSON texts of a models.ContextPatch and its Policy, which is None where that stays.

    It must have one of etags where these are given. Raises ContextNotFound, PreconditionFailed, ExternalIdTaken, and
    InvalidBody for metadata that grows too large.
    """
    parameters = {"context_id": context_id, "body": body, "policy": policy, "etags": etags}
    with refusals():
        # Two contexts that swap their external ids wait for each other, until PostgreSQL ends one of the statements.
        # That may happen again, until the request's time is up.
        while True:
            with suppress(DeadlockDetected):
                return await _change(conn, UPDATE, parameters)


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


# order → the cursor as it bounds a range of an index, and what is behind it.
BEHIND = {
    "asc": (">", f"coalesce(%(created_at)s, timestamptz '-infinity'), coalesce(%(id)s, uuid '{UUID(int=0)}')"),
    "desc": (
        "<",
        f"coalesce(%(created_at)s, timestamptz 'infinity'), coalesce(%(id)s, uuid '{UUID(int=2**128 - 1)}')",
    ),
}

# (order, which) → an order of contexts, as an index has it: of all of them, of those that are no forks, or of the forks
# of one. Of these a parent is the first column of order and range: where it were only equal, PostgreSQL might rather
# walk all contexts for a few forks.
BY = {
    (order, which): ", ".join(f"{column} {order}" for column in columns)
    for order in BEHIND
    for which, columns in (
        ("all", ("created_at", "id")),
        ("no forks", ("created_at", "id")),
        ("forks", ("parent_id", "created_at", "id")),
    )
}

# (order, which) → contexts behind a cursor, in that order.
WALKS = {
    (order, which): f"""SELECT * FROM contexts
                    WHERE deleted_at IS NULL {condition}
                    ORDER BY {BY[order, which]}"""
    for order, (behind, cursor) in BEHIND.items()
    for which, condition in (
        ("all", f"AND (created_at, id) {behind} ({cursor})"),
        ("no forks", f"AND parent_id IS NULL AND (created_at, id) {behind} ({cursor})"),
        (
            "forks",
            f"""AND parent_id {"<=" if order == "asc" else ">="} %(parent_id)s
                        AND (parent_id, created_at, id) {behind} (%(parent_id)s, {cursor})""",
        ),
    )
}

# How they are found → few contexts, by the index of what is asked for; materialized, or a planner without statistics
# walks all contexts for them.
MATCHING = {
    name: f"""WITH matching AS MATERIALIZED (
        SELECT * FROM contexts WHERE deleted_at IS NULL AND {condition}
    )"""
    for name, condition in (
        ("metadata", "metadata @> %(metadata)s::jsonb"),
        (
            "external id",
            "external_id = %(external_id)s AND (%(metadata)s::jsonb IS NULL OR metadata @> %(metadata)s::jsonb)",
        ),
    )
}

# (order, how they are found) → the contexts that a list is chosen from, and in which order: by a walk, or all of the
# few that match, sorted.
SOURCES = {key: (walk, BY[key]) for key, walk in WALKS.items()} | {
    (order, name): (
        f"""SELECT * FROM matching
                    WHERE (created_at, id) {behind} ({cursor})
                        AND (NOT %(no_forks)s OR parent_id IS NULL)
                        AND (%(parent_id)s::uuid IS NULL OR parent_id = %(parent_id)s)
                    ORDER BY {BY[order, "all"]}""",
        BY[order, "all"],
    )
    for order, (behind, cursor) in BEHIND.items()
    for name in MATCHING
}

# (order, how they are found) → statement. The sum stops before PostgreSQL sends more than can be answered. The limit is
# one that the planner cannot read: it would rather sort all contexts than walk an index for a part that it takes for
# large.
LIST = {
    (order, name): f"""
    {MATCHING.get(name, "")}
    SELECT {COLUMNS}
    FROM (
        SELECT listed.*, sum(bytes) OVER (ORDER BY {by} ROWS UNBOUNDED PRECEDING) - bytes AS bytes_before
        FROM (
            SELECT *, octet_length(metadata::text) AS bytes
            FROM (
                {source}
                LIMIT (SELECT %(limit)s::bigint)
            ) AS found
        ) AS listed
    ) AS context
    WHERE bytes_before <= {MAX_BODY_BYTES}
    ORDER BY {by}
    """
    for (order, name), (source, by) in SOURCES.items()
}

# Contexts that are few enough to be found by what is in their metadata, and sorted.
FEW = 2_000

COUNT_FEW = f"""
SELECT count(*) FROM (
    SELECT FROM contexts WHERE deleted_at IS NULL AND metadata @> %(metadata)s::jsonb LIMIT {FEW + 1}
) AS matching
"""

# Contexts that one page looks at for a filter that many match, or that the index does not know all of; and the bytes of
# their metadata, as they are stored.
LOOKED_AT = 10_000
READ_BYTES = 8_000_000

# (order, which) → statement. The last one looked at comes even if it does not match, without JSON, to go on from there.
# CASE, so that no metadata beyond it is read.
LOOK = {
    (order, which): f"""
    SELECT context.id, context.latest_version, context.created_at, {ETAG} AS etag,
        CASE WHEN matches THEN {CONTEXT_JSON} ELSE '' END AS json, last
    FROM (
        SELECT *, sum(CASE WHEN matches THEN octet_length(metadata::text) ELSE 0 END) OVER (
            ORDER BY {BY[order, which]} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS bytes_before
        FROM (
            SELECT *, position = {LOOKED_AT} OR read_bytes > {READ_BYTES} AS last,
                CASE WHEN read_bytes - pg_column_size(metadata) <= {READ_BYTES}
                    THEN metadata @> %(metadata)s::jsonb END AS matches
            FROM (
                SELECT *, row_number() OVER walk AS position, sum(pg_column_size(metadata)) OVER walk AS read_bytes
                FROM (
                    {walk}
                    LIMIT (SELECT {LOOKED_AT})
                ) AS walked
                WINDOW walk AS (ORDER BY {BY[order, which]} ROWS UNBOUNDED PRECEDING)
            ) AS looked
        ) AS judged
        WHERE matches OR (last AND matches IS NOT NULL)
    ) AS context
    WHERE coalesce(bytes_before, 0) <= {MAX_BODY_BYTES}
    ORDER BY {BY[order, which]}
    LIMIT %(limit)s
    """
    for (order, which), walk in WALKS.items()
}


@dataclass(frozen=True, slots=True)
class Looked(ContextRow):
    """A context that matches, or the last of those looked at."""

    last: bool


async def list_page(
    conn: AsyncConnection[Any],
    *,
    limit: int,
    order: str,
    cursor: str | None = None,
    metadata: str | None = None,
    external_id: str | None = None,
    parent_id: UUID | Literal["none"] | None = None,
) -> tuple[Sequence[ContextRow], ContextRow | None]:
    """Up to limit + 1 contexts by time of creation, fewer where they are large; one beyond limit says there are more.

    cursor is that of the last context before; metadata is the JSON text of an object that theirs must contain;
    parent_id is of whom they are forks, none for no forks at all. The second value is the last context that was looked
    at, where the search ended before the contexts did.
    Raises InvalidParameter for a cursor that is none.
    """
    created_at, context_id = (None, None) if cursor is None else _decode(cursor)
    contained = None if metadata is None else json.loads(metadata)
    parameters = {
        "created_at": created_at,
        "id": context_id,
        "metadata": metadata if contained else None,
        "external_id": external_id,
        "parent_id": None if parent_id == "none" else parent_id,
        "no_forks": parent_id == "none",
        "limit": limit + 1,
    }
    which = "all" if parent_id is None else "no forks" if parent_id == "none" else "forks"
    if contained and external_id is None and (_is_beyond_index(contained) or not await _are_few(conn, parameters)):
        return await _look(conn, (order, which), parameters)
    name = "external id" if external_id is not None else "metadata" if contained else which
    async with _cursor(conn) as rows:
        await rows.execute(LIST[order, name], parameters)
        return await rows.fetchall(), None


async def _are_few(conn: AsyncConnection[Any], parameters: dict[str, Any]) -> bool:
    """Whether no more than FEW contexts match."""
    # How many do depends on the filter, and so must the plan: prepared, it would not.
    [(count,)] = await (await conn.execute(COUNT_FEW, parameters, prepare=False)).fetchall()
    return bool(count <= FEW)


async def _look(
    conn: AsyncConnection[Any], walk: tuple[str, str], parameters: dict[str, Any]
) -> tuple[Sequence[ContextRow], ContextRow | None]:
    async with conn.cursor(row_factory=class_row(Looked)) as cursor:
        await cursor.execute(LOOK[walk], parameters)
        rows = await cursor.fetchall()
    return [row for row in rows if row.json], rows[-1] if rows and rows[-1].last else None


def _is_beyond_index(contained: Any) -> bool:
    """Whether contexts_metadata_idx does not know all of a filter: it knows single values, each with the way to it.

    So nothing of what is empty, nor which values are in one element of an array.
    """
    if isinstance(contained, dict):
        return not contained or any(map(_is_beyond_index, contained.values()))
    return isinstance(contained, list) and (not contained or any(isinstance(item, dict | list) for item in contained))


def _decode(cursor: str) -> tuple[datetime, UUID]:
    try:
        created_at, _, context_id = base64.b64decode(cursor, altchars="-_", validate=True).decode().partition("/")
        return datetime.fromisoformat(created_at), UUID(context_id)
    except (ValueError, OverflowError):
        raise errors.InvalidParameter(places=[Place("/cursor", "not a cursor that this list gave")]) from None


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

"""Compactions in PostgreSQL: summaries that stand in for messages in windows. They delete nothing, nor are deleted."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.errors import IntegrityError
from psycopg.rows import class_row

from lib import errors
from lib.errors import Place
from lib.models import MAX_BODY_BYTES, MAX_METADATA_BYTES, Idempotency


def _compaction_json(undone_at: str) -> str:
    return f"""(
    SELECT row_to_json(shape)::text FROM (
        SELECT compaction.number, compaction.context_id AS "contextId",
            compaction.through_version AS "throughVersion", compaction.made_at_version AS "madeAtVersion",
            compaction.based_on AS "basedOn", compaction.role, compaction.summary, compaction.metadata,
            compaction.token_count AS "tokenCount",
            to_char(compaction.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "createdAt",
            to_char({undone_at} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "undoneAt"
    ) AS shape
)"""


# A compaction as this API answers with it. shapes.Compaction says the same in Python; a test holds the two together.
COMPACTION_JSON = _compaction_json("compaction.undone_at")

# The same as it was when it was made.
MADE_JSON = _compaction_json("NULL::timestamptz")


@dataclass(frozen=True, slots=True)
class CompactionRow:
    """A compaction's number and JSON text, and who made it: its context, or an ancestor."""

    number: int
    json: str
    owner: UUID | None = None


@dataclass(frozen=True, slots=True)
class Made(CompactionRow):
    """A compaction, and whether a request before had made it."""

    replayed: bool = False


# One statement and so one round trip: the update takes the row lock that puts writers in line, and behind it, with all
# that was committed meanwhile in sight, check_compaction raises or tells what is in force.
MAKE = f"""
WITH context AS (
    UPDATE contexts
    SET compaction_count = compaction_count + 1, revision = revision + 1
    WHERE id = %(context_id)s AND deleted_at IS NULL
        AND NOT EXISTS (SELECT FROM compactions WHERE context_id = %(context_id)s AND key = %(key)s)
    RETURNING id, compaction_count AS number, latest_version,
        check_compaction(id, latest_version, %(through_version)s, %(expected_number)s) AS based_on
)
INSERT INTO compactions AS compaction (
    context_id, number, through_version, made_at_version, based_on, role, summary, metadata, token_count, json_bytes,
    created_at, key, fingerprint
)
SELECT id, number, %(through_version)s, latest_version, based_on, %(role)s, %(summary)s, metadata, %(token_count)s,
    octet_length(to_json(%(summary)s::text)::text) + octet_length(metadata::text), clock_timestamp(), %(key)s,
    %(fingerprint)s
FROM context, (
    SELECT coalesce(metadata, '{{}}') AS metadata FROM json_to_record(%(body)s::json) AS body (metadata json)
) AS body
RETURNING number, {COMPACTION_JSON} AS json, false AS replayed
"""


async def make(
    conn: AsyncConnection[Any],
    context_id: UUID,
    *,
    body: str,
    through_version: int,
    summary: str,
    role: str,
    token_count: int,
    expected_number: int | None = None,
    idempotency: Idempotency | None = None,
) -> Made:
    """The compaction of a models.NewCompaction, of which body is the JSON text; token_count in tokens.

    Raises ContextNotFound, CompactionConflict where another than expected_number is in force, IdempotencyKeyReused, and
    InvalidBody for a version that a compaction cannot reach.
    """
    parameters = {
        "context_id": context_id,
        "body": body,
        "through_version": through_version,
        "summary": summary,
        "role": role,
        "token_count": token_count,
        "expected_number": expected_number,
        "key": idempotency and idempotency.key,
        "fingerprint": idempotency and idempotency.fingerprint,
    }
    made, refusal = None, None
    async with conn.cursor(row_factory=class_row(Made)) as cursor:
        try:
            await cursor.execute(MAKE, parameters)
            made = await cursor.fetchone()
        except IntegrityError as error:
            refusal = error.diag.constraint_name
            if refusal not in REFUSALS:
                raise
    return made or await _not_made(conn, context_id, idempotency, refusal, through_version)


# Why the database refuses a compaction: another is in force, its version, its metadata, or its key.
EXPECTED, THROUGH, METADATA, KEY = REFUSALS = (
    "compactions_expected_number_check",
    "compactions_through_version_check",
    "compactions_metadata_check",
    "compactions_key_key",
)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a context could be compacted up to, what is in force, and what the key in question stands for, if anything.

    before and after are the versions nearest to the one that was refused.
    """

    in_force: int
    before: int | None
    after: int | None
    fingerprint: bytes | None
    number: int | None
    json: str | None


CLAIM = f"""
SELECT compaction_in_force(id) AS in_force,
    CASE WHEN refused IS NOT NULL THEN compactable_to(owners, starts, latest_version, refused) END AS before,
    CASE WHEN refused IS NOT NULL THEN compactable_from(owners, starts, latest_version, refused) END AS after,
    compaction.fingerprint, compaction.number, CASE WHEN compaction.number IS NOT NULL THEN {MADE_JSON} END AS json
FROM (
    SELECT id, deleted_at, latest_version, ancestor_ids || id AS owners, 0::bigint || ancestor_versions AS starts,
        CASE WHEN %(refused)s::bigint IS NOT NULL THEN least(%(refused)s, latest_version) END AS refused
    FROM contexts
) AS context
LEFT JOIN compactions AS compaction ON compaction.context_id = context.id AND compaction.key = %(key)s
WHERE id = %(context_id)s AND deleted_at IS NULL
"""


async def _not_made(
    conn: AsyncConnection[Any], context_id: UUID, idempotency: Idempotency | None, refusal: str | None, through: int
) -> Made:
    """The first answer to the same key, whatever has come since; raises why nothing was made."""
    refused = through if refusal == THROUGH else None
    parameters = {"context_id": context_id, "refused": refused, "key": idempotency and idempotency.key}
    async with conn.cursor(row_factory=class_row(Claim)) as cursor:
        await cursor.execute(CLAIM, parameters)
        claim = await cursor.fetchone()
    if claim is None:
        raise errors.ContextNotFound
    if idempotency and claim.number is not None and claim.json is not None:
        if claim.fingerprint != idempotency.fingerprint:
            raise errors.IdempotencyKeyReused
        return Made(claim.number, claim.json, replayed=True)
    if refusal == METADATA:
        raise errors.InvalidBody(places=[Place("/metadata", f"must not be larger than {MAX_METADATA_BYTES:,} bytes")])
    if refused is None:
        raise errors.CompactionConflict(claim.in_force)
    near = [str(version) for version in (claim.before, claim.after) if version]
    nearest = f"the nearest to it {'are' if near[1:] else 'is'} {' and '.join(near)}" if near else "none is near it"
    raise errors.InvalidBody(places=[Place("/throughVersion", f"{UNREACHABLE}: {nearest}")])


UNREACHABLE = "must be the end of a unit whose calls are all answered, behind the preamble"

# A page is a range of numbers, which have no gaps, from those of the lineage that made them: with both ends known, no
# plan reads more. The sum stops before PostgreSQL sends more than can be answered.
PAGE = f"""
SELECT coalesce(page.number, 0) AS number, coalesce(page.json, '') AS json
FROM (
    SELECT ancestor_ids || id AS owners, 0::bigint || ancestor_numbers AS counts,
        least(%(cursor)s - 1, compaction_count) - %(limit)s + 1 AS first,
        least(%(cursor)s - 1, compaction_count) AS last
    FROM contexts
    WHERE id = %(context_id)s AND deleted_at IS NULL
    OFFSET 0
) AS context
LEFT JOIN LATERAL (
    SELECT number, {COMPACTION_JSON} AS json
    FROM (
        SELECT made.*, sum(json_bytes) OVER (ROWS UNBOUNDED PRECEDING) - json_bytes AS bytes_before
        FROM segments(owners, counts, first, last)
        CROSS JOIN LATERAL (
            SELECT * FROM compactions
            WHERE context_id = owner AND number BETWEEN first AND upto
            ORDER BY number DESC
            OFFSET 0
        ) AS made
    ) AS compaction
    WHERE bytes_before <= {MAX_BODY_BYTES}
) AS page ON true
ORDER BY page.number DESC
"""


async def page(
    conn: AsyncConnection[Any], context_id: UUID, *, limit: int, cursor: int | None = None
) -> list[CompactionRow]:
    """Up to limit + 1 compactions with numbers below cursor, newest first; fewer where they are large.

    The last of limit + 1 only says that there are more. Raises ContextNotFound.
    """
    async with conn.cursor(row_factory=class_row(CompactionRow)) as rows:
        await rows.execute(PAGE, {"context_id": context_id, "cursor": cursor, "limit": limit + 1})
        found = await rows.fetchall()
    if not found:
        raise errors.ContextNotFound
    return found if found[0].number else []


READ = f"""
SELECT coalesce(number, 0) AS number, CASE WHEN number IS NOT NULL THEN {COMPACTION_JSON} END AS json,
    context_id AS owner
FROM contexts AS context
LEFT JOIN compactions AS compaction
    ON context_id = owner_of(ancestor_ids || id, 0::bigint || ancestor_numbers, %(number)s) AND number = %(number)s
WHERE id = %(context_id)s AND deleted_at IS NULL
"""


async def read(conn: AsyncConnection[Any], context_id: UUID, number: int) -> CompactionRow:
    """The compaction of that number, undone or not. Raises ContextNotFound, CompactionNotFound."""
    async with conn.cursor(row_factory=class_row(CompactionRow)) as cursor:
        await cursor.execute(READ, {"context_id": context_id, "number": number})
        row = await cursor.fetchone()
    if row is None:
        raise errors.ContextNotFound
    if not row.number:
        raise errors.CompactionNotFound
    return row


# The context's row is locked first, as by whoever makes a compaction. Compactions are looked for by their primary key
# alone: coalesce() keeps the planner from the index of those in force, where it would walk all of the context's, or all
# contexts' (10,000 buffers, measured).
UNDO = f"""
WITH context AS (
    UPDATE contexts
    SET revision = revision + 1
    WHERE id = %(context_id)s AND deleted_at IS NULL AND EXISTS (
        SELECT FROM compactions
        WHERE context_id = %(context_id)s AND number = %(number)s AND coalesce(undone_at, 'infinity') = 'infinity'
    )
    RETURNING id
)
UPDATE compactions AS compaction
SET undone_at = clock_timestamp()
FROM context
WHERE context_id = %(context_id)s AND number = %(number)s AND coalesce(undone_at, 'infinity') = 'infinity'
RETURNING number, {COMPACTION_JSON} AS json
"""


async def undo(conn: AsyncConnection[Any], context_id: UUID, number: int) -> CompactionRow:
    """The compaction, undone by now or before: windows are as if it had never been, those of forks that see it too.

    Raises ContextNotFound, CompactionNotFound, and CompactionNotOwned for one that an ancestor has made.
    """
    async with conn.cursor(row_factory=class_row(CompactionRow)) as cursor:
        await cursor.execute(UNDO, {"context_id": context_id, "number": number})
        undone = await cursor.fetchone()
    if undone:
        return undone
    found = await read(conn, context_id, number)
    if found.owner != context_id:
        raise errors.CompactionNotOwned
    return found

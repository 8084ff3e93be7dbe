"""Forks in PostgreSQL: contexts that share another's history up to a version, without copying it."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import args_row, class_row
from psycopg.types.numeric import Int8

from lib import errors
from lib.contexts import CHANGED_AT, COLUMNS, Made, refusals
from lib.errors import Place, Problem
from lib.models import Idempotency

# Levels of a lineage: as many ancestors a fork has at most. Its row names each of them, in 40 bytes.
MAX_ANCESTORS = 256

# The lineage of a parent, and what a fork of it at a version has for ancestors.
LINEAGE = """ancestor_ids || id AS owners, 0::bigint || ancestor_versions AS starts,
            0::bigint || ancestor_tokens AS sums, 0::bigint || ancestor_numbers AS counts"""
ANCESTORS = """CROSS JOIN LATERAL ancestors_at(
            owners, starts, sums, counts, compaction_count,
            version, CASE version WHEN latest_version THEN total_tokens END
        ) AS lineage (ids, versions, tokens, numbers)"""

# Whether it moves the parent's external id → statement. One INSERT, whatever the length of the history: ancestors_at
# tells what the fork's row says of its lineage. Without a lock, as messages up to the version that the statement sees
# never change. Only where the external id moves the parent is locked first, and what counts is what it has behind that
# lock; the id is free before the fork takes it, as the one is joined to the other. updated_at is never before a
# message, which may be ahead of the clock.
FORK = {
    moves: f"""
    WITH body AS MATERIALIZED (
        SELECT * FROM json_to_record(%(body)s::json) AS body (name text, "externalId" text, metadata jsonb)
    ), claimed AS (
        SELECT * FROM context_keys WHERE key = %(key)s
    ), parent AS MATERIALIZED (
        SELECT *, coalesce(%(version)s, latest_version) AS version,
            {LINEAGE}
        FROM contexts
        WHERE id = %(parent_id)s AND deleted_at IS NULL AND NOT EXISTS (SELECT FROM claimed) {locked}
    ), shared AS MATERIALIZED (
        SELECT parent.*, lineage.*
        FROM parent {ANCESTORS}
        WHERE version <= latest_version AND coalesce(cardinality(lineage.ids), 0) <= {MAX_ANCESTORS}
            AND (%(expected_version)s::bigint IS NULL OR latest_version = %(expected_version)s)
    ){freed}, new AS (
        INSERT INTO contexts (
            name, external_id, metadata, policy, parent_id, fork_version,
            ancestor_ids, ancestor_versions, ancestor_tokens, ancestor_numbers,
            message_count, latest_version, total_tokens, compaction_count, updated_at
        )
        SELECT body.name, {external_id}, coalesce(body.metadata, shared.metadata), coalesce(%(policy)s, policy),
            shared.id, version, ids, versions, tokens, numbers,
            version, version, coalesce(tokens[cardinality(tokens)], 0), coalesce(numbers[cardinality(numbers)], 0),
            greatest(now(), shared.updated_at)
        FROM shared CROSS JOIN body {joined}
        ON CONFLICT (external_id) WHERE deleted_at IS NULL AND external_id IS NOT NULL DO NOTHING
        RETURNING *
    ), answered AS MATERIALIZED (
        SELECT {COLUMNS} FROM new AS context
    ), claim AS (
        INSERT INTO context_keys (key, fingerprint, context_id, answer)
        SELECT %(key)s, %(fingerprint)s, id, json::json FROM answered WHERE %(key)s::text IS NOT NULL
    )
    SELECT *, 'new' AS origin, NULL::bytea AS fingerprint FROM answered
    UNION ALL
    SELECT context_id, (answer ->> 'latestVersion')::bigint, (answer ->> 'createdAt')::timestamptz,
        format('"%%s.%%s"', answer ->> 'latestVersion',
            (extract(epoch FROM (answer ->> 'updatedAt')::timestamptz) * 1000000)::bigint),
        answer::text, 'replayed', fingerprint
    FROM claimed
    """
    for moves, locked, freed, external_id, joined in (
        (False, "", "", 'body."externalId"', ""),
        (
            True,
            "AND external_id IS NOT NULL FOR NO KEY UPDATE",
            f"""
    , freed AS (
        UPDATE contexts AS context
        SET external_id = NULL, updated_at = {CHANGED_AT}
        FROM shared
        WHERE context.id = shared.id
        RETURNING context.id
    )""",
            "shared.external_id",
            "JOIN freed USING (id)",
        ),
    )
}


async def fork(
    conn: AsyncConnection[Any],
    parent_id: UUID,
    *,
    body: str,
    version: int | None = None,
    expected_version: int | None = None,
    policy: str | None = None,
    external_id: str | None = None,
    moves_external_id: bool = False,
    idempotency: Idempotency | None = None,
) -> Made:
    """The fork of a context at a version, the latest where None, from the JSON text of a models.NewFork.

    policy is the JSON text of its Policy; the parent's where None. expected_version, where given, must be the parent's
    latest. One round trip; more only where it is refused, or where another request is making the same fork at this
    moment. Raises ContextNotFound, ExternalIdMissing, ExternalIdTaken, ForkTooDeep, IdempotencyKeyReused,
    VersionConflict, and InvalidBody for a version above the latest and for metadata that is too large as it is stored.
    """
    parameters = {
        "parent_id": parent_id,
        "body": body,
        # Of one type, as each type of a parameter is another prepared statement.
        "version": None if version is None else Int8(version),
        "expected_version": None if expected_version is None else Int8(expected_version),
        "policy": policy,
        "key": idempotency and idempotency.key,
        "fingerprint": idempotency and idempotency.fingerprint,
    }
    while True:
        # A key that a request in flight is claiming cannot be seen. It breaks context_keys_pkey, or what that request
        # has changed lets no fork be made; it can be seen then.
        with refusals():
            async with conn.cursor(row_factory=args_row(Made)) as cursor:
                await cursor.execute(FORK[moves_external_id], parameters)
                if made := await cursor.fetchone():
                    return made.for_key(idempotency)
            if problem := await _refusal(conn, parameters, external_id, moves_external_id=moves_external_id):
                raise problem


@dataclass(frozen=True, slots=True)
class Refused:
    """What a fork may be refused for: of its parent, nulls where that is gone, and of the id that it takes.

    is_claimed says that it is not: the key stands for a fork by now.
    """

    is_claimed: bool
    latest_version: int | None
    is_named: bool | None
    ancestors: int | None
    is_taken: bool


REFUSED = f"""
SELECT EXISTS (SELECT FROM context_keys WHERE key = %(key)s) AS is_claimed, latest_version, is_named, ancestors,
    EXISTS (SELECT FROM contexts WHERE external_id = %(external_id)s AND deleted_at IS NULL) AS is_taken
FROM (VALUES (NULL)) AS always
LEFT JOIN (
    SELECT latest_version, external_id IS NOT NULL AS is_named, coalesce(cardinality(lineage.ids), 0) AS ancestors
    FROM (
        SELECT *, least(%(version)s, latest_version) AS version,
            {LINEAGE}
        FROM contexts
        WHERE id = %(parent_id)s AND deleted_at IS NULL
        OFFSET 0
    ) AS parent {ANCESTORS}
) AS parent ON true
"""


async def _refusal(  # noqa: PLR0911 - one for each reason
    conn: AsyncConnection[Any], parameters: dict[str, Any], external_id: str | None, *, moves_external_id: bool
) -> Problem | None:
    """Why no fork was made; None where that is over by now, as others change what it depends on."""
    async with conn.cursor(row_factory=class_row(Refused)) as cursor:
        await cursor.execute(REFUSED, {**parameters, "external_id": external_id})
        [refused] = await cursor.fetchall()
    version, expected = parameters["version"], parameters["expected_version"]
    if refused.is_claimed:
        return None
    if refused.latest_version is None or refused.ancestors is None:
        return errors.ContextNotFound()
    if expected not in (None, refused.latest_version):
        return errors.VersionConflict(refused.latest_version)
    if version is not None and version > refused.latest_version:
        detail = f"must be a version from 0 to the latest, which is {refused.latest_version}"
        return errors.InvalidBody(places=[Place("/version", detail)])
    if refused.ancestors > MAX_ANCESTORS:
        return errors.ForkTooDeep()
    if moves_external_id and not refused.is_named:
        return errors.ExternalIdMissing()
    return errors.ExternalIdTaken() if refused.is_taken else None

"""Messages in PostgreSQL: append a batch, page through a context. Rows leave as JSON text and are never edited."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.errors import IntegrityError
from psycopg.rows import args_row, class_row
from psycopg.types.numeric import Int8

from lib import errors
from lib.errors import Place, Problem
from lib.models import MAX_AHEAD, MAX_BATCH, MAX_BODY_BYTES, Idempotency, NewMessage


def flat(statement: str) -> str:
    """A statement without what indents its lines.

    psycopg reads one of more than 4,096 characters anew whenever it is executed: 50 to 100 microseconds (measured).
    """
    return re.sub(r"\n\s+", "\n", statement)


def message_json(*, content: str = "message.content", tokens: str = "message.token_count", more: str = "") -> str:
    """The SQL of a message's JSON text; with other SQL for content or tokens, and with more members behind the last.

    more is text in a string of SQL.

    Put together by concat(), as row_to_json and format() take longer: they look up columns and types for every row
    (measured).
    """
    return f"""concat(
    '{{"id":"', message.id, '","contextId":"', message.context_id, '","version":', message.version,
    ',"role":"', message.role, '","content":', coalesce({content}, 'null'),
    ',"toolCalls":', coalesce(message.tool_calls, 'null'),
    ',"toolCallId":', coalesce(to_json(message.tool_call_id), 'null'),
    ',"toolName":', coalesce(to_json(message.tool_name), 'null'), ',"model":', coalesce(to_json(message.model), 'null'),
    ',"metadata":', message.metadata, ',"tokenCount":', {tokens},
    ',"hasEmbedding":', CASE WHEN message.embedding IS NULL THEN 'false' ELSE 'true' END,
    ',"createdAt":"', to_char(message.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '"{more}}}'
)"""


# A message as this API answers with it. shapes.Message says the same in Python; a test holds the two together.
MESSAGE_JSON = message_json()

# The same with what a provider gave.
_NATIVE = ""","nativeFormat":', coalesce(to_json(message.native_format), 'null'),
    ',"native":', coalesce(message.native, 'null'), '"""
NATIVE_MESSAGE_JSON = message_json(more=_NATIVE)

# Versions that a call may lie before its answer: the largest batch. Bounds the search for a call that is not there.
MAX_REACH = MAX_BATCH

# What a message's JSON has beyond what its client sent, at most, in bytes: an id, a time and numbers; a test holds it.
ENVELOPE_BYTES = 400

# What a client sent of a message, in bytes, by which reads stop before they are more than can be answered.
MESSAGE_BYTES = "json_bytes + octet_length(to_json(concat(tool_call_id, tool_name, model))::text)"
NATIVE_MESSAGE_BYTES = f"{MESSAGE_BYTES} + coalesce(native_bytes, 0)"


class MessageRow(NamedTuple):
    """A message's version and JSON text beside its context's latest version; no message at all is version 0.

    shown_version is the newest version at the point in time that was asked for. A named tuple in the order of the
    statements' columns, because pages are read in bulk.
    """

    latest_version: int
    version: int
    json: str
    shown_version: int = 0


class Page(NamedTuple):
    """A page's messages and one more where there are more, and the newest version at the time that was asked for."""

    rows: Sequence[MessageRow]
    version: int


@dataclass(frozen=True, slots=True)
class Appended:
    """The stored messages, oldest first, the version of the newest, and whether a request before had stored them."""

    rows: Sequence[MessageRow]
    version: int
    replayed: bool


# Whether it changes the context's metadata → statement: setting it to what it was would check its size again, and one
# that changes it cannot be HOT, as the metadata is indexed.
# One statement and so one round trip: the update takes the row lock that puts writers in line, and all of it happens
# or nothing. The texts come from the request itself and are kept to the letter. A key that a request in flight is
# claiming cannot be seen, but breaks append_keys_pkey. updated_at is never before a message, nor before itself, even
# where the clock is; so it is a time for messages that bring none. first_given is the time of the first message that
# brings one, newest that of the batch's last. answered has the positions in the batch of the calls that its messages
# answer, and call_ids the ids of those to look for before it: behind the row lock, as a call may have been committed
# meanwhile. What has neither the table's trigger settles, one by one.
APPEND = {
    patches: flat(f"""
    WITH context AS (
        UPDATE contexts
        SET message_count = message_count + %(count)s,
            total_tokens = total_tokens + %(tokens)s,
            latest_version = latest_version + %(count)s,
            {metadata}
            updated_at = greatest(clock_timestamp(), updated_at + interval '1 microsecond', %(newest)s)
        WHERE id = %(context_id)s AND deleted_at IS NULL
            AND (%(expected_versions)s::bigint[] IS NULL OR latest_version = ANY (%(expected_versions)s))
            AND (%(external_id)s::text IS NULL OR external_id = %(external_id)s)
            AND NOT EXISTS (SELECT FROM append_keys WHERE context_id = %(context_id)s AND key = %(key)s)
        RETURNING id, latest_version, latest_version - %(count)s AS base_version,
            total_tokens - %(tokens)s AS base_tokens, updated_at,
            CASE WHEN %(first_given)s::timestamptz IS NOT NULL
                THEN previous_created_at(id, latest_version - %(count)s, %(first_given)s) END AS previous_created_at,
            CASE WHEN %(call_ids)s::text[] IS NOT NULL
                THEN calls_before(id, latest_version - %(count)s, %(call_ids)s) END AS calls
    ), claim AS (
        INSERT INTO append_keys (context_id, key, fingerprint, first_version, last_version)
        SELECT id, %(key)s, %(fingerprint)s, base_version + 1, latest_version
        FROM context
        WHERE %(key)s::text IS NOT NULL
    )
    INSERT INTO messages AS message (
        context_id, version, role, content, tool_calls, call_ids, tool_call_id, call_version, metadata_bytes, tool_name,
        model, metadata, token_count, cumulative_tokens, created_at, embedding, native, native_format, native_bytes
    )
    SELECT context.id, context.base_version + batch.position, batch.role, batch.content, batch.tool_calls,
        (SELECT array_agg(call ->> 'id') FROM json_array_elements(batch.tool_calls) AS call),
        batch.tool_call_id,
        CASE
            WHEN batch.answered > 0 THEN context.base_version + batch.answered
            WHEN context.calls[batch.position] >= context.base_version + batch.position - {MAX_REACH}
                THEN context.calls[batch.position]
            WHEN context.calls IS NOT NULL AND batch.role = 'tool' THEN 0
        END,
        CASE batch.role WHEN 'tool' THEN octet_length(coalesce(batch.metadata, '{{}}')::text) END,
        batch.tool_name, batch.model, coalesce(batch.metadata, '{{}}'),
        batch.token_count, context.base_tokens + batch.running_tokens,
        coalesce(greatest(batch.created_at, context.previous_created_at), context.updated_at),
        (batch.embedding #>> '{{}}')::vector,
        batch.native, CASE WHEN batch.native IS NOT NULL THEN %(format)s END, octet_length(batch.native::text)
    FROM context, ROWS FROM (
        json_to_recordset(%(body)s::json -> 'messages') AS (
            role text, content json, "toolCalls" json, "toolCallId" text, "toolName" text, model text, metadata json,
            embedding json, native json
        ),
        unnest(%(token_counts)s::integer[]),
        unnest(%(running_tokens)s::bigint[]),
        unnest(%(created_at)s::timestamptz[]),
        unnest(%(answered)s::bigint[])
    ) WITH ORDINALITY AS batch (
        role, content, tool_calls, tool_call_id, tool_name, model, metadata, embedding, native,
        token_count, running_tokens, created_at, answered, position
    )
    RETURNING (SELECT latest_version FROM context), version, {MESSAGE_JSON} AS json
    """)
    for patches, metadata in (
        (False, ""),
        (True, "metadata = json_merge_patch(metadata, (%(body)s::json -> 'contextMetadata')::jsonb),"),
    )
}


async def append(
    conn: AsyncConnection[Any],
    context_id: UUID,
    *,
    body: str,
    batch: Sequence[NewMessage],
    token_counts: Sequence[int],
    patches_metadata: bool = False,
    expected_versions: Sequence[int] | None = None,
    expected_external_id: str | None = None,
    idempotency: Idempotency | None = None,
    format_name: str = "kata",
) -> Appended:
    """Stores the JSON text of a models.Append: all of its messages, and its patch of metadata, or nothing.

    Its messages may have a member native, which is of format_name. batch is those messages, and token_counts has the
    tokens of each. expected_versions, where given, must include the context's latest version, expected_external_id be
    its external id. Raises ContextNotFound, ExternalIdMissing, VersionConflict, IdempotencyKeyReused, and InvalidBody
    for times that run backwards or lie ahead, and for metadata that would grow too large.
    """
    created_at = [message.created_at for message in batch]
    times, problem = _times(created_at)
    answered, call_ids = _answered(batch)
    rows: list[MessageRow] = []
    if problem is None:
        parameters = {
            "context_id": context_id,
            "body": body,
            "format": format_name,
            "count": len(token_counts),
            "tokens": sum(token_counts),
            "token_counts": list(token_counts),
            "running_tokens": list(accumulate(token_counts)),
            "created_at": times,
            "answered": answered,
            "call_ids": call_ids,
            "first_given": next(filter(None, created_at), None),
            "newest": times and times[-1],
            "expected_versions": expected_versions,
            "external_id": expected_external_id,
            "key": idempotency and idempotency.key,
            "fingerprint": idempotency and idempotency.fingerprint,
        }
        async with conn.cursor(row_factory=args_row(MessageRow)) as cursor:
            try:
                await cursor.execute(APPEND[patches_metadata], parameters)
                rows = await cursor.fetchall()
            except IntegrityError as error:
                problem = _refusal(error, created_at)
    if not rows:
        return await _not_stored(conn, context_id, idempotency, problem, expected_external_id)
    return Appended(rows, rows[-1].version, replayed=False)


def _refusal(error: IntegrityError, created_at: Sequence[datetime | None]) -> Problem | None:
    """Why the database refused an append; None where its key is taken. Raises error where it is a fault of ours."""
    match error.diag.constraint_name:
        case "append_keys_pkey":
            return None
        case "messages_created_at_check":
            first = next(index for index, given in enumerate(created_at) if given)
            return errors.InvalidBody(places=[_backwards(first)])
        case "context_metadata_size_check":
            return errors.InvalidBody(places=[Place("/contextMetadata", errors.METADATA_TOO_LARGE)])
    raise error


def _answered(batch: Sequence[NewMessage]) -> tuple[list[int | None] | None, list[str | None] | None]:
    """For each message the position, from 1, of the newest call before it in the batch that it answers.

    And for each the id of the call to look for before the batch. None throughout is None; so is a single id, which the
    trigger looks for in less time.
    """
    answered: list[int | None] = []
    call_ids: list[str | None] = []
    made: dict[str, int] = {}
    for position, message in enumerate(batch, 1):
        call_id = message.tool_call_id
        answered.append(None if call_id is None else made.get(call_id))
        call_ids.append(None if answered[-1] else call_id)
        made.update((call["id"], position) for call in message.tool_calls or ())
    searched = len(batch) - call_ids.count(None)
    return answered if any(answered) else None, call_ids if searched > 1 else None


def _times(given: Sequence[datetime | None]) -> tuple[list[datetime] | None, Problem | None]:
    """The time of each message of a batch: now where none is given, but never before the one before it.

    None where none is given at all; and what is wrong where one is before the one before it, or in the future.
    """
    if not any(given):
        return None, None
    now = datetime.now(UTC)
    times: list[datetime] = []
    places: list[Place] = []
    for index, time in enumerate(given):
        previous = times[-1] if times else datetime.min.replace(tzinfo=UTC)
        if time and time > now + MAX_AHEAD:
            places.append(Place(f"/messages/{index}/createdAt", "must not be in the future"))
        elif time and time < previous:
            places.append(_backwards(index))
        times.append(max(previous, time or now))
    return times, errors.InvalidBody(places=places) if places else None


def _backwards(index: int) -> Place:
    return Place(f"/messages/{index}/createdAt", "must not be before the message before it")


@dataclass(frozen=True, slots=True)
class Claim:
    """A context's latest version and external id, and what the key in question stands for, if anything."""

    latest_version: int
    external_id: str | None
    fingerprint: bytes | None
    first_version: int | None
    last_version: int | None


CLAIM = """
SELECT context.latest_version, context.external_id, claim.fingerprint, claim.first_version, claim.last_version
FROM contexts AS context
LEFT JOIN append_keys AS claim ON claim.context_id = context.id AND claim.key = %(key)s
WHERE context.id = %(context_id)s AND context.deleted_at IS NULL
"""


async def _not_stored(
    conn: AsyncConnection[Any],
    context_id: UUID,
    idempotency: Idempotency | None,
    problem: Problem | None,
    expected_external_id: str | None,
) -> Appended:
    """The first answer to the same key, whatever problem the append has by now; raises why nothing was stored."""
    async with conn.cursor(row_factory=class_row(Claim)) as cursor:
        await cursor.execute(CLAIM, {"context_id": context_id, "key": idempotency and idempotency.key})
        claim = await cursor.fetchone()
    if claim is None:
        raise errors.ContextNotFound
    if idempotency is None or claim.first_version is None or claim.last_version is None:
        if problem is None and expected_external_id not in (None, claim.external_id):
            raise errors.ExternalIdMissing
        raise problem or errors.VersionConflict(claim.latest_version)
    if claim.fingerprint != idempotency.fingerprint:
        raise errors.IdempotencyKeyReused
    count = claim.last_version - claim.first_version + 1
    stored = await page(conn, context_id, cursor=claim.first_version - 1, at=claim.last_version, limit=count)
    return Appended(stored.rows, claim.last_version, replayed=True)


# order → statement. A page is a range of versions, which have no gaps: with both of its ends known, no plan reads more.
# Its messages come from those of the lineage that own them, one behind the other, each by its primary key and in order:
# OFFSET 0 keeps PostgreSQL from another way. The sum stops before PostgreSQL sends more than can be answered. The
# context's row comes even where no message does, to tell an empty page from an unknown context.
def _statements(json: str, size: str) -> dict[str, str]:
    return {
        order: f"""
    SELECT context.latest_version, coalesce(page.version, 0) AS version, page.json, context.shown_version
    FROM (
        SELECT *, {first} AS first, {last} AS last
        FROM (
            SELECT *, least(latest_version, CASE WHEN %(at_time)s::timestamptz IS NULL
                THEN %(at)s ELSE version_at(owners, starts, latest_version, %(at_time)s) END) AS shown_version
            FROM (
                SELECT latest_version, ancestor_ids || id AS owners, 0::bigint || ancestor_versions AS starts
                FROM contexts
                WHERE id = %(context_id)s AND deleted_at IS NULL
                OFFSET 0
            ) AS context
            OFFSET 0
        ) AS context
        OFFSET 0
    ) AS context
    LEFT JOIN LATERAL (
        SELECT message.version, {json} AS json
        FROM (
            SELECT found.*, sum(bytes) OVER (ROWS UNBOUNDED PRECEDING) - bytes AS bytes_before
            FROM (SELECT * FROM segments(owners, starts, first, last) ORDER BY upto {order}) AS segment
            CROSS JOIN LATERAL (
                SELECT *, {size} AS bytes FROM messages
                WHERE context_id = owner AND version BETWEEN first AND upto
                ORDER BY version {order}
                OFFSET 0
            ) AS found
        ) AS message
        WHERE message.bytes_before <= {MAX_BODY_BYTES}
    ) AS page ON true
    ORDER BY page.version {order}
    """
        for order, first, last in (
            (
                "asc",
                "least(%(cursor)s, shown_version) + 1",
                "least(least(%(cursor)s, shown_version) + %(limit)s, shown_version)",
            ),
            (
                "desc",
                "least(%(cursor)s - 1, shown_version) - %(limit)s + 1",
                "least(%(cursor)s - 1, shown_version)",
            ),
        )
    }


PAGE = _statements(MESSAGE_JSON, MESSAGE_BYTES)
NATIVE_PAGE = _statements(NATIVE_MESSAGE_JSON, NATIVE_MESSAGE_BYTES)


async def page(
    conn: AsyncConnection[Any],
    context_id: UUID,
    *,
    limit: int,
    order: str = "asc",
    cursor: int | None = None,
    at: int | datetime | None = None,
    native: bool = False,
) -> Page:
    """Up to limit + 1 messages after version cursor, as the context was at a version or a time.

    Each with what a provider gave, if native. The last message of limit + 1 only says that there are more. Raises
    ContextNotFound, InvalidParameter.
    """
    # An ascending page starts after version 0, a descending one with the latest.
    start = 0 if cursor is None and order == "asc" else cursor
    parameters = {"context_id": context_id, "cursor": start, "limit": limit + 1, **point(at)}
    async with conn.cursor(row_factory=args_row(MessageRow)) as rows:
        await rows.execute((NATIVE_PAGE if native else PAGE)[order], parameters)
        found = await rows.fetchall()
    if not found:
        raise errors.ContextNotFound
    check_at(at, found[0].latest_version)
    return Page(found if found[0].version else [], found[0].shown_version)


def point(at: int | datetime | None) -> dict[str, Int8 | datetime | None]:
    """A point in time as statements take it: a version or a time."""
    # Of one type, as each type of a parameter is another prepared statement.
    return {"at": Int8(at) if isinstance(at, int) else None, "at_time": at if isinstance(at, datetime) else None}


def check_at(at: int | datetime | None, latest_version: int) -> None:
    """Raises InvalidParameter where the context has not reached version at yet."""
    if isinstance(at, int) and at > latest_version:
        raise errors.InvalidParameter(
            places=[Place("/at", f"must be a version from 0 to the latest, which is {latest_version}")]
        )

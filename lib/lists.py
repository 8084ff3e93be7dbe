"""Lists of contexts: by the time of their creation, and by what is in them or whose forks they are."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row

from lib import errors
from lib.contexts import COLUMNS, CONTEXT_JSON, ETAG, ContextRow
from lib.errors import Place
from lib.models import MAX_BODY_BYTES

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


async def page(
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
    async with conn.cursor(row_factory=class_row(ContextRow)) as rows:
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

"""The statements of the release before migration 0008: what it goes on to send while 0008 and more are applied.

Never edited. Once that release is no longer the one before, they go, with the tests that run them.
"""

from uuid import UUID

MAX_BODY_BYTES = 4_500_000
MAX_PAGE_BYTES = 4_400_000

CONTEXT_JSON = """(
    SELECT row_to_json(shape)::text FROM (
        SELECT context.id, context.name, context.external_id AS "externalId", context.metadata,
            context.message_count AS "messageCount", context.total_tokens AS "totalTokens",
            context.latest_version AS "latestVersion",
            context.parent_id AS "parentId", context.fork_version AS "forkVersion",
            to_char(context.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "createdAt",
            to_char(context.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "updatedAt",
            to_char(context.deleted_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "deletedAt"
    ) AS shape
)"""

ETAG = """format('"%%s.%%s"', context.latest_version, (extract(epoch FROM context.updated_at) * 1000000)::bigint)"""

COLUMNS = f"context.id, context.latest_version, context.created_at, {ETAG} AS etag, {CONTEXT_JSON} AS json"

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
    INSERT INTO contexts (name, external_id, metadata)
    SELECT name, external_id, metadata FROM body
    WHERE NOT EXISTS (SELECT FROM claimed) AND NOT EXISTS (SELECT FROM found)
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
SELECT {COLUMNS}, 'found', NULL FROM found AS context
UNION ALL
SELECT context.id, 0, context.created_at, {ETAG}, coalesce(context.answer::text, {CONTEXT_JSON}),
    'replayed', context.fingerprint
FROM (
    SELECT claimed.*, body.name, body.external_id, body.metadata, 0 AS message_count, 0 AS total_tokens,
        0 AS latest_version, NULL::uuid AS parent_id, NULL::bigint AS fork_version,
        claimed.created_at AS updated_at, NULL::timestamptz AS deleted_at
    FROM claimed, body
) AS context
"""

READ = f"SELECT {COLUMNS} FROM contexts AS context WHERE id = %(context_id)s AND deleted_at IS NULL"

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
    updated_at = {CHANGED_AT}
FROM (SELECT %(body)s::jsonb AS body) AS patch
WHERE id = %(context_id)s AND deleted_at IS NULL AND (%(etags)s::text[] IS NULL OR {ETAG} = ANY (%(etags)s))
RETURNING {COLUMNS}
"""

DELETE = f"""
UPDATE contexts AS context
SET (updated_at, deleted_at) = (SELECT moment, moment FROM (SELECT {CHANGED_AT} AS moment OFFSET 0) AS change)
WHERE id = %(context_id)s AND deleted_at IS NULL AND (%(etags)s::text[] IS NULL OR {ETAG} = ANY (%(etags)s))
RETURNING {COLUMNS}
"""

BEHIND = {
    "asc": f"> (coalesce(%(created_at)s, timestamptz '-infinity'), coalesce(%(id)s, uuid '{UUID(int=0)}'))",
    "desc": f"< (coalesce(%(created_at)s, timestamptz 'infinity'), coalesce(%(id)s, uuid '{UUID(int=2**128 - 1)}'))",
}

SOURCES = {
    "none": ("", "contexts", ""),
    "external id": (
        "",
        "contexts",
        """AND external_id = %(external_id)s
                AND (%(metadata)s::jsonb IS NULL OR metadata @> %(metadata)s::jsonb)""",
    ),
    "metadata": (
        """WITH matching AS MATERIALIZED (
        SELECT * FROM contexts WHERE deleted_at IS NULL AND metadata @> %(metadata)s::jsonb
    )""",
        "matching",
        "",
    ),
}

LIST = {
    (order, name): f"""
    {matching}
    SELECT {COLUMNS}
    FROM (
        SELECT listed.*,
            sum(bytes) OVER (ORDER BY created_at {order}, id {order} ROWS UNBOUNDED PRECEDING) - bytes AS bytes_before
        FROM (
            SELECT *, octet_length(metadata::text) AS bytes
            FROM {source}
            WHERE deleted_at IS NULL AND (created_at, id) {behind} {condition}
            ORDER BY created_at {order}, id {order}
            LIMIT (SELECT %(limit)s::bigint)
        ) AS listed
    ) AS context
    WHERE bytes_before <= {MAX_BODY_BYTES}
    ORDER BY created_at {order}, id {order}
    """
    for name, (matching, source, condition) in SOURCES.items()
    for order, behind in BEHIND.items()
}

MESSAGE_JSON = """(
    SELECT row_to_json(shape)::text FROM (
        SELECT message.id, message.context_id AS "contextId", message.version, message.role, message.content,
            message.tool_calls AS "toolCalls", message.tool_call_id AS "toolCallId",
            message.tool_name AS "toolName", message.model, message.metadata,
            message.token_count AS "tokenCount", message.embedding IS NOT NULL AS "hasEmbedding",
            to_char(message.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "createdAt"
    ) AS shape
)"""

MESSAGE_BYTES = "json_bytes + octet_length(to_json(concat(tool_call_id, tool_name, model))::text)"

APPEND = {
    patches: f"""
    WITH context AS (
        UPDATE contexts
        SET message_count = message_count + %(count)s,
            total_tokens = total_tokens + %(tokens)s,
            latest_version = latest_version + %(count)s,
            {metadata}
            updated_at = greatest(clock_timestamp(), updated_at + interval '1 microsecond', %(newest)s)
        WHERE id = %(context_id)s AND deleted_at IS NULL
            AND (%(expected_versions)s::bigint[] IS NULL OR latest_version = ANY (%(expected_versions)s))
            AND NOT EXISTS (SELECT FROM append_keys WHERE context_id = %(context_id)s AND key = %(key)s)
        RETURNING id, latest_version, latest_version - %(count)s AS base_version,
            total_tokens - %(tokens)s AS base_tokens, updated_at,
            CASE WHEN %(first_given)s::timestamptz IS NOT NULL
                THEN previous_created_at(id, latest_version - %(count)s, %(first_given)s) END AS previous_created_at
    ), claim AS (
        INSERT INTO append_keys (context_id, key, fingerprint, first_version, last_version)
        SELECT id, %(key)s, %(fingerprint)s, base_version + 1, latest_version
        FROM context
        WHERE %(key)s::text IS NOT NULL
    )
    INSERT INTO messages AS message (
        context_id, version, role, content, tool_calls, call_ids, tool_call_id, tool_name, model, metadata,
        token_count, cumulative_tokens, created_at, embedding
    )
    SELECT context.id, context.base_version + batch.position, batch.role, batch.content, batch.tool_calls,
        (SELECT array_agg(call ->> 'id') FROM json_array_elements(batch.tool_calls) AS call),
        batch.tool_call_id, batch.tool_name, batch.model, coalesce(batch.metadata, '{{}}'),
        batch.token_count, context.base_tokens + batch.running_tokens,
        coalesce(greatest(batch.created_at, context.previous_created_at), context.updated_at),
        (batch.embedding #>> '{{}}')::vector
    FROM context, ROWS FROM (
        json_to_recordset(%(body)s::json -> 'messages') AS (
            role text, content json, "toolCalls" json, "toolCallId" text, "toolName" text, model text, metadata json,
            embedding json
        ),
        unnest(%(token_counts)s::integer[]),
        unnest(%(running_tokens)s::bigint[]),
        unnest(%(created_at)s::timestamptz[])
    ) WITH ORDINALITY AS batch (
        role, content, tool_calls, tool_call_id, tool_name, model, metadata, embedding,
        token_count, running_tokens, created_at, position
    )
    RETURNING (SELECT latest_version FROM context), version, {MESSAGE_JSON} AS json
    """
    for patches, metadata in (
        (False, ""),
        (True, "metadata = json_merge_patch(metadata, (%(body)s::json -> 'contextMetadata')::jsonb),"),
    )
}

PAGE = {
    order: f"""
    SELECT context.latest_version, coalesce(page.version, 0), page.json
    FROM contexts AS context
    LEFT JOIN LATERAL (
        SELECT message.version, {MESSAGE_JSON} AS json
        FROM (
            SELECT found.*, sum({MESSAGE_BYTES}) OVER (ORDER BY version {order} ROWS UNBOUNDED PRECEDING)
                - ({MESSAGE_BYTES}) AS bytes_before
            FROM messages AS found
            WHERE context_id = context.id AND version BETWEEN {first} AND {last}
        ) AS message
        WHERE message.bytes_before <= {MAX_BODY_BYTES}
    ) AS page ON true
    WHERE context.id = %(context_id)s AND context.deleted_at IS NULL
    ORDER BY page.version {order}
    """
    for order, first, last in (
        (
            "asc",
            "least(%(cursor)s, context.latest_version) + 1",
            "least(least(%(cursor)s, context.latest_version) + %(limit)s, %(at)s)",
        ),
        (
            "desc",
            "least(%(cursor)s - 1, %(at)s, context.latest_version) - %(limit)s + 1",
            "least(%(cursor)s - 1, %(at)s, context.latest_version)",
        ),
    )
}

MIN_MESSAGE_BYTES = 280

MAX_MESSAGES = MAX_PAGE_BYTES // MIN_MESSAGE_BYTES

MAX_REACH = 1000

WINDOW = {
    past: f"""
    WITH context AS MATERIALIZED (
        SELECT id, latest_version, {version} AS version, {total_tokens} AS total_tokens
        FROM contexts
        WHERE id = %(context_id)s AND deleted_at IS NULL
    ), reach AS MATERIALIZED (
        SELECT greatest(version - {MAX_MESSAGES}, (
            SELECT older.version
            FROM messages AS older
            WHERE older.context_id = context.id AND older.cumulative_tokens < context.total_tokens - %(budget)s
            ORDER BY older.cumulative_tokens DESC, older.version DESC
            LIMIT 1
        )) + 1 AS first_version
        FROM context
    )
    SELECT coalesce(candidate.version, 0), candidate.token_count, candidate.call_ids, candidate.tool_call_id,
        candidate.json, context.latest_version, context.total_tokens
    FROM context
    CROSS JOIN reach
    LEFT JOIN LATERAL (
        SELECT message.version, message.token_count, message.call_ids, message.tool_call_id, {MESSAGE_JSON} AS json
        FROM (
            SELECT newest.*, sum({MESSAGE_BYTES}) OVER (ORDER BY version DESC ROWS UNBOUNDED PRECEDING)
                - ({MESSAGE_BYTES}) AS bytes_newer
            FROM messages AS newest
            WHERE context_id = context.id AND version BETWEEN reach.first_version AND context.version
        ) AS message
        WHERE message.bytes_newer <= {MAX_PAGE_BYTES}
    ) AS candidate ON true
    ORDER BY candidate.version
    """
    for past, version, total_tokens in (
        (False, "latest_version", "total_tokens"),
        (
            True,
            "%(at)s",
            """coalesce((
            SELECT past.cumulative_tokens FROM messages AS past
            WHERE past.context_id = contexts.id AND past.version = %(at)s
        ), 0)""",
        ),
    )
}

BACK_TO_CALLS = f"""
SELECT message.version, message.token_count, message.call_ids, message.tool_call_id, {MESSAGE_JSON} AS json
FROM messages AS message
WHERE message.context_id = %(context_id)s AND message.version < %(before)s
    AND message.version >= (
        SELECT min(newest) FROM (
            SELECT max(caller.version) AS newest
            FROM messages AS caller, unnest(caller.call_ids) AS call_id
            WHERE caller.context_id = %(context_id)s
                AND caller.version BETWEEN %(before)s - {MAX_REACH} AND %(before)s - 1
                AND call_id = ANY (%(call_ids)s)
            GROUP BY call_id
        ) AS calls
    )
ORDER BY message.version
"""

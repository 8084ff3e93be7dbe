"""The statements of the release before migration 0014: what it goes on to send while 0014 and 0015 are applied.

Never edited. Once that release is no longer the one before, they go, with the tests that run them.
"""

import re

MAX_BODY_BYTES = 4_500_000
MAX_PAGE_BYTES = 4_400_000
MAX_REACH = 1_000
ENVELOPE_BYTES = 400
CLEARED = "[cleared]"
CLEARED_TOKENS = 4

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


def message_json(*, content: str = "message.content::text", tokens: str = "message.token_count", more: str = "") -> str:
    """The SQL of a message's JSON text; with other SQL for content or tokens, and with more members behind the last.

    Put together by format(), as row_to_json takes a third more: it looks its columns up for every row (measured).
    """
    return f"""format(
    '{{"id":"%%s","contextId":"%%s","version":%%s,"role":"%%s","content":%%s,"toolCalls":%%s,"toolCallId":%%s,'
        '"toolName":%%s,"model":%%s,"metadata":%%s,"tokenCount":%%s,"hasEmbedding":%%s,"createdAt":"%%s"{more}}}',
    message.id, message.context_id, message.version, message.role, coalesce({content}, 'null'),
    coalesce(message.tool_calls::text, 'null'), coalesce(to_json(message.tool_call_id)::text, 'null'),
    coalesce(to_json(message.tool_name)::text, 'null'), coalesce(to_json(message.model)::text, 'null'),
    message.metadata, {tokens}, CASE WHEN message.embedding IS NULL THEN 'false' ELSE 'true' END,
    to_char(message.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
)"""


MESSAGE_JSON = message_json()

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
        model, metadata, token_count, cumulative_tokens, created_at, embedding
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
        (batch.embedding #>> '{{}}')::vector
    FROM context, ROWS FROM (
        json_to_recordset(%(body)s::json -> 'messages') AS (
            role text, content json, "toolCalls" json, "toolCallId" text, "toolName" text, model text, metadata json,
            embedding json
        ),
        unnest(%(token_counts)s::integer[]),
        unnest(%(running_tokens)s::bigint[]),
        unnest(%(created_at)s::timestamptz[]),
        unnest(%(answered)s::bigint[])
    ) WITH ORDINALITY AS batch (
        role, content, tool_calls, tool_call_id, tool_name, model, metadata, embedding,
        token_count, running_tokens, created_at, answered, position
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
    SELECT context.latest_version, coalesce(page.version, 0) AS version, page.json, context.shown_version
    FROM (
        SELECT id, latest_version, least(latest_version, CASE WHEN %(at_time)s::timestamptz IS NULL
            THEN %(at)s ELSE version_at(id, latest_version, %(at_time)s) END) AS shown_version
        FROM contexts
        WHERE id = %(context_id)s AND deleted_at IS NULL
        OFFSET 0
    ) AS context
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

MAX_MESSAGES = MAX_PAGE_BYTES // ENVELOPE_BYTES


def _flat(statement: str) -> str:
    """A statement without what indents its lines.

    psycopg reads one of more than 4,096 characters anew whenever it is executed: 50 to 100 microseconds (measured).
    """
    return re.sub(r"\n\s+", "\n", statement)


CLEARED_JSON = message_json(
    content=f"'\"{CLEARED}\"'", tokens=f"least(message.token_count, {CLEARED_TOKENS})", more=',"cleared":true'
)

NAMES = ("tool_call_id", "tool_name", "model")

NAME_BYTES = f"6 * ({' + '.join(f'coalesce(octet_length({name}), 0)' for name in NAMES)}) + {ENVELOPE_BYTES}"

SENT_BYTES = f"CASE WHEN call_version > 0 OR role <> 'tool' THEN json_bytes + {NAME_BYTES} ELSE 0 END"

CLEARED_BYTES = f"CASE WHEN call_version > 0 THEN metadata_bytes + {NAME_BYTES} ELSE 0 END"

WINDOW = _flat(f"""
WITH context AS MATERIALIZED (
    SELECT %(context_id)s::uuid AS id
), reach AS MATERIALIZED (
    SELECT * FROM window_reach(
        %(context_id)s, %(bare)s, %(overrides)s, %(at)s, %(at_time)s, {MAX_MESSAGES}, %(content)s
    )
    WHERE version IS NOT NULL
)
SELECT 0::bigint, true, 0, false, NULL::bigint, NULL::text[], NULL, 0, NULL::integer, row_to_json(reach)::text, NULL
FROM reach
UNION ALL
SELECT message.version, head, token_count, role = 'user', CASE role WHEN 'tool' THEN coalesce(call_version, 0) END,
    call_ids, tool_call_id, bytes, cleared_bytes,
    CASE WHEN %(content)s AND bytes > 0 AND coalesce(message.version >= newest_opening OR role <> 'tool'
            OR cumulative_tokens > cleared_at_least, true)
        AND CASE WHEN cleared_bytes IS NULL THEN least_bytes ELSE most_bytes END <= {MAX_BODY_BYTES}
        THEN {MESSAGE_JSON} END,
    CASE WHEN %(content)s AND cleared_bytes IS NOT NULL AND least_bytes <= {MAX_BODY_BYTES}
        THEN {CLEARED_JSON} END
FROM reach
CROSS JOIN context
CROSS JOIN LATERAL (
    SELECT *, summary_bytes + sum(bytes) OVER (ORDER BY version ROWS UNBOUNDED PRECEDING) AS least_bytes,
        0::bigint AS most_bytes
    FROM (
        SELECT kept.*, {SENT_BYTES} AS bytes, true AS head, NULL::integer AS cleared_bytes
        FROM unnest(head_versions) AS place
        CROSS JOIN LATERAL (
            SELECT * FROM messages WHERE context_id = context.id AND version BETWEEN place AND place
            ORDER BY version LIMIT 1
        ) AS kept
    ) AS opening
    UNION ALL
    SELECT *, sum(coalesce(cleared_bytes, bytes)) OVER newest_first, sum(bytes) OVER newest_first
    FROM (
        SELECT newest.*, {SENT_BYTES} AS bytes, false AS head,
            CASE WHEN role = 'tool' AND cumulative_tokens <= cleared_at_most THEN {CLEARED_BYTES} END AS cleared_bytes
        FROM messages AS newest
        WHERE context_id = context.id AND newest.version BETWEEN first_version AND reach.version
        ORDER BY newest.version DESC
    ) AS walked
    WINDOW newest_first AS (ORDER BY version DESC ROWS UNBOUNDED PRECEDING)
) AS message
WHERE head OR least_bytes <= {MAX_BODY_BYTES} OR message.version >= newest_opening
""")


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


COMPACTION_JSON = _compaction_json("compaction.undone_at")

MADE_JSON = _compaction_json("NULL::timestamptz")

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

COMPACTION_CLAIM = f"""
SELECT compaction_in_force(id) AS in_force,
    CASE WHEN %(refused)s::bigint IS NOT NULL THEN compactable_to(id, latest_version, refused) END AS before,
    CASE WHEN %(refused)s::bigint IS NOT NULL THEN compactable_from(id, latest_version, refused) END AS after,
    compaction.fingerprint, compaction.number, CASE WHEN compaction.number IS NOT NULL THEN {MADE_JSON} END AS json
FROM (SELECT *, least(%(refused)s::bigint, latest_version) AS refused FROM contexts) AS context
LEFT JOIN compactions AS compaction ON compaction.context_id = context.id AND compaction.key = %(key)s
WHERE id = %(context_id)s AND deleted_at IS NULL
"""

COMPACTION_PAGE = f"""
SELECT coalesce(page.number, 0) AS number, coalesce(page.json, '') AS json
FROM contexts AS context
LEFT JOIN LATERAL (
    SELECT number, {COMPACTION_JSON} AS json
    FROM (
        SELECT made.*, sum(json_bytes) OVER (ORDER BY number DESC ROWS UNBOUNDED PRECEDING) - json_bytes AS bytes_before
        FROM compactions AS made
        WHERE context_id = context.id
            AND number BETWEEN least(%(cursor)s - 1, compaction_count) - %(limit)s + 1
            AND least(%(cursor)s - 1, compaction_count)
    ) AS compaction
    WHERE bytes_before <= {MAX_BODY_BYTES}
) AS page ON true
WHERE id = %(context_id)s AND deleted_at IS NULL
ORDER BY page.number DESC
"""

COMPACTION_READ = f"""
SELECT coalesce(number, 0) AS number, CASE WHEN number IS NOT NULL THEN {COMPACTION_JSON} END AS json
FROM contexts AS context
LEFT JOIN compactions AS compaction ON context_id = id AND number = %(number)s
WHERE id = %(context_id)s AND deleted_at IS NULL
"""

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

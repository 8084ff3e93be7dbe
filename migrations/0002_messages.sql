-- Messages: immutable entries of a context, numbered 1, 2, 3 … by their version.
--
-- Every key starts with context_id, so that the table can be partitioned or sharded by it; for the same
-- reason the primary key is (context_id, version), and id has no index of its own.
-- content, tool_calls and metadata are json, not jsonb: json keeps the client's text to the letter (order of
-- keys, digits of numbers) and is copied into an answer as it stands.
-- New table: takes no lock that anything could wait for.

CREATE TABLE messages (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    context_id uuid NOT NULL,
    version bigint NOT NULL,
    role text NOT NULL,
    content json,
    tool_calls json,
    -- The ids in tool_calls: what the tool_call_id of a later message refers to. Windows decide on it.
    call_ids text[],
    tool_call_id text,
    tool_name text,
    model text,
    metadata json NOT NULL DEFAULT '{}',
    token_count integer NOT NULL,
    -- Bytes of the three JSON texts, so that reads can stop before they are more than an answer may be.
    json_bytes integer NOT NULL GENERATED ALWAYS AS (
        coalesce(octet_length(content::text), 0) + coalesce(octet_length(tool_calls::text), 0)
            + octet_length(metadata::text)
    ) STORED,
    -- The sum of token_count over this message and all before it in its context.
    cumulative_tokens bigint NOT NULL,
    created_at timestamptz NOT NULL,
    -- Set when a message is erased, and only then; reads skip such rows.
    deleted_at timestamptz,
    embedding vector(1536),

    CONSTRAINT messages_pkey PRIMARY KEY (context_id, version),
    CONSTRAINT messages_context_id_fkey FOREIGN KEY (context_id) REFERENCES contexts (id) ON DELETE CASCADE,
    CONSTRAINT messages_version_check CHECK (version > 0),
    CONSTRAINT messages_role_check CHECK (role IN ('system', 'user', 'assistant', 'tool')),
    CONSTRAINT messages_content_check CHECK (content IS NOT NULL OR tool_calls IS NOT NULL),
    CONSTRAINT messages_tool_calls_check CHECK (tool_calls IS NULL OR role = 'assistant'),
    CONSTRAINT messages_tool_call_id_check CHECK ((tool_call_id IS NOT NULL) = (role = 'tool')),
    CONSTRAINT messages_token_count_check CHECK (token_count >= 0),
    CONSTRAINT messages_cumulative_tokens_check CHECK (cumulative_tokens >= token_count)
);

-- A window is a walk along this from the newest message until the budget is spent.
CREATE INDEX messages_cumulative_tokens_idx ON messages (context_id, cumulative_tokens);

-- Contexts: one row per conversation, with the counters that an append moves.
--
-- The row is updated by every append, so that update must stay HOT: no index covers a column that an
-- append changes, and the fillfactor leaves room for new row versions on the same page.
-- New table: takes no lock that anything could wait for.

-- Embeddings live in pgvector's type; Neon and the embedded PostgreSQL of `make dev` both carry it.
CREATE EXTENSION IF NOT EXISTS vector;

-- Checked only where metadata is set, so that an append, which does not, pays nothing for it. 131,072 bytes of text:
-- a request brings 65,536 at most, merges add up, and jsonb writes some numbers and spaces at greater length.
CREATE DOMAIN context_metadata AS jsonb
    CONSTRAINT context_metadata_size_check CHECK (octet_length(value::text) <= 131072);

CREATE TABLE contexts (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    name text,
    metadata context_metadata NOT NULL DEFAULT '{}',
    -- A fork shares its parent's messages up to this version.
    parent_id uuid,
    fork_version bigint,
    message_count bigint NOT NULL DEFAULT 0,
    total_tokens bigint NOT NULL DEFAULT 0,
    latest_version bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,

    CONSTRAINT contexts_pkey PRIMARY KEY (id),
    CONSTRAINT contexts_parent_id_fkey FOREIGN KEY (parent_id) REFERENCES contexts (id),
    CONSTRAINT contexts_fork_check CHECK ((parent_id IS NULL) = (fork_version IS NULL)),
    CONSTRAINT contexts_name_check CHECK (char_length(name) <= 255),
    CONSTRAINT contexts_metadata_check CHECK (jsonb_typeof(metadata) = 'object'),
    CONSTRAINT contexts_counters_check CHECK (message_count >= 0 AND total_tokens >= 0 AND latest_version >= 0)
) WITH (fillfactor = 70);

-- Lists walk this in either direction; a deleted context is in none.
CREATE INDEX contexts_created_at_idx ON contexts (created_at, id) WHERE deleted_at IS NULL;

-- Lists filtered by `metadata @> …`.
CREATE INDEX contexts_metadata_idx ON contexts USING gin (metadata jsonb_path_ops) WHERE deleted_at IS NULL;

-- RFC 7396, JSON merge patch: members of the patch replace or, where null, remove those of the target.
CREATE FUNCTION json_merge_patch(target jsonb, patch jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    IF jsonb_typeof(patch) <> 'object' THEN
        RETURN patch;
    END IF;
    IF target IS NULL OR jsonb_typeof(target) <> 'object' THEN
        target := '{}';
    END IF;
    -- Removed and added all at once: one by one would copy the whole target for every member.
    RETURN (target - ARRAY (SELECT key FROM jsonb_each(patch) WHERE value = 'null')) || coalesce((
        SELECT jsonb_object_agg(
            key,
            CASE jsonb_typeof(value) WHEN 'object' THEN json_merge_patch(target -> key, value) ELSE value END
        )
        FROM jsonb_each(patch)
        WHERE value <> 'null'
    ), '{}');
END
$$;

-- Contexts: one row per conversation, with the counters that an append moves.
--
-- The row is updated by every append, so that update must stay HOT: no index covers a column that an
-- append changes, and the fillfactor leaves room for new row versions on the same page.
-- New table: takes no lock that anything could wait for.

-- Embeddings live in pgvector's type; Neon and the embedded PostgreSQL of `make dev` both carry it.
CREATE EXTENSION IF NOT EXISTS vector;

CREATE TABLE contexts (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    name text,
    metadata jsonb NOT NULL DEFAULT '{}',
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
DECLARE
    member record;
BEGIN
    IF jsonb_typeof(patch) <> 'object' THEN
        RETURN patch;
    END IF;
    IF target IS NULL OR jsonb_typeof(target) <> 'object' THEN
        target := '{}';
    END IF;
    FOR member IN SELECT key, value FROM jsonb_each(patch) LOOP
        IF member.value = 'null' THEN
            target := target - member.key;
        ELSE
            target := target || jsonb_build_object(member.key, json_merge_patch(target -> member.key, member.value));
        END IF;
    END LOOP;
    RETURN target;
END
$$;

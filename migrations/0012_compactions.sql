-- Compactions: summaries that stand in for all messages up to a version in windows, and delete nothing.
--
-- A context numbers its compactions 1, 2, 3 … by compaction_count, and a number is never used twice: one that is undone
-- keeps its row. New table, and a column with a constant default: nothing is rewritten. The release before does not
-- know of compactions, and its windows are as if there were none. Takes ACCESS EXCLUSIVE on contexts for an instant.

ALTER TABLE contexts
    ADD COLUMN compaction_count bigint NOT NULL DEFAULT 0;

CREATE TABLE compactions (
    context_id uuid NOT NULL,
    number bigint NOT NULL,
    -- What it stands in for: all messages up to this version.
    through_version bigint NOT NULL,
    -- The context's latest version when it was made: in windows of the past it is in force from there on.
    made_at_version bigint NOT NULL,
    -- The number in force when it was made; 0 for none.
    based_on bigint NOT NULL,
    role text NOT NULL,
    summary text NOT NULL,
    metadata json NOT NULL,
    token_count integer NOT NULL,
    -- Bytes of summary and metadata as JSON text, so that reads can stop before they are more than an answer may be.
    json_bytes integer NOT NULL,
    created_at timestamptz NOT NULL,
    undone_at timestamptz,
    -- The client's Idempotency-Key, and the SHA-256 of the payload that it stands for.
    key text,
    fingerprint bytea,

    CONSTRAINT compactions_pkey PRIMARY KEY (context_id, number),
    CONSTRAINT compactions_context_id_fkey FOREIGN KEY (context_id) REFERENCES contexts (id) ON DELETE CASCADE,
    CONSTRAINT compactions_versions_check CHECK (through_version > 0 AND made_at_version >= through_version),
    CONSTRAINT compactions_based_on_check CHECK (based_on >= 0 AND based_on < number),
    CONSTRAINT compactions_role_check CHECK (role IN ('user', 'assistant', 'system')),
    CONSTRAINT compactions_summary_check CHECK (octet_length(summary) BETWEEN 1 AND 262144),
    CONSTRAINT compactions_metadata_check CHECK (octet_length(metadata::text) <= 65536),
    CONSTRAINT compactions_token_count_check CHECK (token_count >= 0),
    CONSTRAINT compactions_key_check CHECK ((key IS NULL) = (fingerprint IS NULL))
);

-- The one in force is the last of this that had been made; most often the last of all. made_at_version is there so that
-- those that were made later are passed over in the index.
CREATE INDEX compactions_in_force_idx ON compactions (context_id, through_version, number, made_at_version)
    WHERE undone_at IS NULL;

CREATE UNIQUE INDEX compactions_key_key ON compactions (context_id, key) WHERE key IS NOT NULL;

-- The last versions of the units between two versions, of a history up to version latest, whose calls are all answered
-- in them; a unit has 1,001 messages at most. An answer names its call, so it is enough to count. VOLATILE, as all that
-- a compaction is checked by, because it is checked behind the row lock that it has waited for.
CREATE FUNCTION answered_units(of_context uuid, lowest bigint, highest bigint, latest bigint) RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    RETURN QUERY
    SELECT max(version)
    FROM (
        SELECT version, tool_call_id, call_version, (SELECT count(DISTINCT id) FROM unnest(call_ids) AS id) AS made,
            max(version) FILTER (WHERE role <> 'tool') OVER (ORDER BY version ROWS UNBOUNDED PRECEDING) AS opening
        FROM messages
        -- One more, to see whether it goes on with the last unit.
        WHERE context_id = of_context AND version BETWEEN lowest AND least(highest + 1, latest)
    ) AS walked
    WHERE opening IS NOT NULL
    GROUP BY opening
    HAVING max(version) <= least(highest, opening + 1000)
        AND coalesce(max(made), 0) = count(DISTINCT tool_call_id) FILTER (WHERE call_version = opening);
END
$$;

-- The greatest version up to through, and within 1,000 of it, that a compaction of a history up to version latest can
-- reach: behind the preamble, at the end of a unit whose calls are all answered. Null where there is none. Among the
-- newest 30 first, as it mostly is.
CREATE FUNCTION compactable_to(of_context uuid, latest bigint, through bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    lowest bigint;
    least_version bigint := greatest(preamble_of(of_context, latest), through - 1000) + 1;
    found bigint;
BEGIN
    FOREACH lowest IN ARRAY ARRAY[through - 30, through - 2000] LOOP
        SELECT max(last) INTO found
        FROM answered_units(of_context, lowest, through, latest) AS last
        WHERE last >= least_version;
        EXIT WHEN found IS NOT NULL OR lowest <= 1;
    END LOOP;
    RETURN found;
END
$$;

-- The least version above through, and within 1,000 of it, that a compaction can reach; null where there is none.
CREATE FUNCTION compactable_from(of_context uuid, latest bigint, through bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    behind bigint := greatest(preamble_of(of_context, latest), through);
BEGIN
    RETURN (
        SELECT min(last)
        FROM answered_units(of_context, through - 1000, through + 1000, latest) AS last
        WHERE last > behind
    );
END
$$;

-- The number of the compaction in force at a context's latest version; 0 for none.
CREATE FUNCTION compaction_in_force(of_context uuid) RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    RETURN coalesce((
        SELECT number FROM compactions
        WHERE context_id = of_context AND undone_at IS NULL
        ORDER BY through_version DESC, number DESC
        LIMIT 1
    ), 0);
END
$$;

-- The compaction that is based on: the number in force, 0 for none. Raises where that is not the expected one, or where
-- through is no version that a compaction can reach.
CREATE FUNCTION check_compaction(of_context uuid, latest bigint, through bigint, expected bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    in_force bigint := compaction_in_force(of_context);
BEGIN
    IF in_force <> expected THEN
        RAISE EXCEPTION 'another compaction is in force'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'compactions_expected_number_check';
    END IF;
    IF through > latest OR compactable_to(of_context, latest, through) IS DISTINCT FROM through THEN
        RAISE EXCEPTION 'a compaction cannot reach this version'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'compactions_through_version_check';
    END IF;
    RETURN in_force;
END
$$;

-- The version through which a history from base to version latest should be compacted, of total tokens up to there:
-- the first unit boundary that leaves at most keep tokens behind it, or else the last before the newest unit; and where
-- no compaction can reach it, the nearest before it that one can. Null where there is none behind base, and where the
-- unit in question has more than 1,001 messages.
CREATE FUNCTION compaction_due(of_context uuid, base bigint, latest bigint, total bigint, keep bigint) RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    -- From here on at most keep tokens follow.
    enough bigint := (
        SELECT version FROM messages
        WHERE context_id = of_context AND cumulative_tokens >= total - keep AND version <= latest
        ORDER BY cumulative_tokens, version
        LIMIT 1
    );
    boundary bigint := (
        SELECT version FROM messages
        WHERE context_id = of_context AND version BETWEEN enough + 1 AND least(enough + 1001, latest)
            AND role <> 'tool'
        ORDER BY version
        LIMIT 1
    ) - 1;
BEGIN
    IF boundary IS NULL AND enough + 1001 >= latest THEN
        boundary := (
            SELECT version FROM messages
            WHERE context_id = of_context AND version BETWEEN latest - 1000 AND latest AND role <> 'tool'
            ORDER BY version DESC
            LIMIT 1
        ) - 1;
    END IF;
    boundary := compactable_to(of_context, latest, boundary);
    RETURN CASE WHEN boundary > base THEN boundary END;
END
$$;

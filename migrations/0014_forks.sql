-- Forks: contexts that share another's history up to a version, without copying it.
--
-- A fork's row has its whole lineage, newest ancestor first, each with the version up to which it counts, the running
-- sum of tokens there and the number of the newest compaction made up to there: 40 bytes a level, and no read walks
-- from row to row. An ancestor that would add nothing is left out, so it need not have parent_id in it. Versions and
-- numbers go on from the first of these. All null in what is no fork, and in one at version 0.
--
-- New columns are null throughout, so nothing is rewritten, and the check needs no scan; the next file validates it.
-- The functions below read through the lineage what those before read of one context, and are the same for what is no
-- fork; so what the release before appends to a fork is right. Its pages and windows show a fork without its ancestors.
-- Takes ACCESS EXCLUSIVE on contexts for an instant.

ALTER TABLE contexts
    ADD COLUMN ancestor_ids uuid[],
    ADD COLUMN ancestor_versions bigint[],
    ADD COLUMN ancestor_tokens bigint[],
    ADD COLUMN ancestor_numbers bigint[],
    ADD CONSTRAINT contexts_ancestors_check CHECK (
        num_nulls(ancestor_ids, ancestor_versions, ancestor_tokens, ancestor_numbers) IN (0, 4)
    ) NOT VALID;

-- The contexts that own a context's history, newest first, itself at the head: which versions are theirs, between which
-- running sums, and which numbers of compactions. Callers count on the order: an unnest keeps it, and so does a nested
-- loop, which is all that LATERAL allows. PostgreSQL puts this into the statement that calls it, as it does segments.
CREATE FUNCTION lineage(of_context uuid) RETURNS TABLE (
    owner_id uuid, after_version bigint, last_version bigint, after_tokens bigint, last_tokens bigint,
    after_number bigint, last_number bigint
)
LANGUAGE sql STABLE
AS $$
    SELECT level.*
    FROM contexts AS context
    CROSS JOIN LATERAL unnest(
        context.id || ancestor_ids,
        ancestor_versions || 0::bigint, 9223372036854775807 || ancestor_versions,
        ancestor_tokens || 0::bigint, 9223372036854775807 || ancestor_tokens,
        ancestor_numbers || 0::bigint, compaction_count || ancestor_numbers
    ) AS level
    WHERE context.id = of_context
$$;

-- The same for the versions from first to last alone: who owns them, and which of them.
CREATE FUNCTION segments(of_context uuid, first bigint, last bigint) RETURNS TABLE (
    owner_id uuid, first_version bigint, last_version bigint
)
LANGUAGE sql STABLE
AS $$
    SELECT level.owner_id, greatest(first, after_version + 1), least(last, last_version)
    FROM contexts AS context
    CROSS JOIN LATERAL unnest(
        context.id || ancestor_ids, ancestor_versions || 0::bigint, 9223372036854775807 || ancestor_versions
    ) AS level (owner_id, after_version, last_version)
    WHERE context.id = of_context AND after_version < last AND last_version >= first
$$;

-- As before, through the lineage, from here to window_reach.

CREATE OR REPLACE FUNCTION previous_created_at(of_context uuid, at_version bigint, not_before timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    previous timestamptz := (
        SELECT created_at
        FROM segments(of_context, at_version, at_version) AS segment
        JOIN messages ON context_id = owner_id AND version = at_version
    );
BEGIN
    IF not_before < previous THEN
        RAISE EXCEPTION 'a message would be before the one before it'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'messages_created_at_check';
    END IF;
    RETURN previous;
END
$$;

CREATE OR REPLACE FUNCTION version_at(of_context uuid, latest bigint, moment timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    existed bigint := 0;
    later bigint := latest + 1;
    middle bigint;
BEGIN
    WHILE existed + 1 < later LOOP
        middle := (existed + later) / 2;
        -- Ordered, so that it is read by the primary key, whatever the planner takes the other indexes for.
        IF (
            SELECT message.created_at <= moment
            FROM segments(of_context, middle, middle) AS segment
            CROSS JOIN LATERAL (
                SELECT created_at FROM messages
                WHERE context_id = owner_id AND version BETWEEN middle AND middle
                ORDER BY version
                LIMIT 1
            ) AS message
        ) THEN
            existed := middle;
        ELSE
            later := middle;
        END IF;
    END LOOP;
    RETURN existed;
END
$$;

CREATE OR REPLACE FUNCTION preamble_of(of_context uuid, latest bigint) RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN (
        SELECT count(*) FROM (
            SELECT bool_and(role = 'system') OVER (ORDER BY version) AS leads
            FROM segments(of_context, 1, least(latest, 16)) AS segment
            JOIN messages ON context_id = owner_id AND version BETWEEN first_version AND last_version
        ) AS opening
        WHERE leads
    );
END
$$;

CREATE OR REPLACE FUNCTION call_before(of_context uuid, of_version bigint, call_id text) RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    RETURN coalesce((
        SELECT message.version
        FROM segments(of_context, of_version - 1000, of_version - 1) AS segment
        CROSS JOIN LATERAL (
            SELECT version FROM messages
            WHERE context_id = owner_id AND version BETWEEN first_version AND last_version
                AND call_id = ANY (call_ids)
            ORDER BY version DESC
            LIMIT 1
        ) AS message
        LIMIT 1
    ), 0);
END
$$;

CREATE OR REPLACE FUNCTION calls_before(of_context uuid, at_version bigint, ids text[]) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    calls bigint[];
    newest bigint := at_version;
    oldest bigint := at_version - 19;
BEGIN
    LOOP
        SELECT array_agg(coalesce(calls[number], found.version) ORDER BY number) INTO calls
        FROM unnest(ids) WITH ORDINALITY AS wanted (id, number)
        LEFT JOIN (
            SELECT call_id, max(version) AS version
            FROM segments(of_context, oldest, newest) AS segment
            CROSS JOIN LATERAL (
                -- Ordered, so that they are read by the primary key.
                SELECT version, call_ids FROM messages
                WHERE context_id = owner_id AND version BETWEEN first_version AND last_version
                ORDER BY version
                OFFSET 0
            ) AS read
            CROSS JOIN LATERAL unnest(call_ids) AS call_id
            GROUP BY call_id
        ) AS found ON found.call_id = wanted.id;
        EXIT WHEN oldest <= 1 OR oldest = at_version - 999
            OR cardinality(array_remove(calls, NULL)) = cardinality(array_remove(ids, NULL));
        newest := oldest - 1;
        oldest := at_version - 999;
    END LOOP;
    RETURN calls;
END
$$;

CREATE OR REPLACE FUNCTION answered_units(of_context uuid, lowest bigint, highest bigint, latest bigint)
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    RETURN QUERY
    SELECT max(version)
    FROM (
        SELECT version, tool_call_id, call_version, (SELECT count(DISTINCT id) FROM unnest(call_ids) AS id) AS made,
            max(version) FILTER (WHERE role <> 'tool') OVER (ROWS UNBOUNDED PRECEDING) AS opening
        FROM (
            -- One more, to see whether it goes on with the last unit.
            SELECT * FROM segments(of_context, lowest, least(highest + 1, latest)) ORDER BY first_version
        ) AS segment
        CROSS JOIN LATERAL (
            SELECT version, role, call_ids, tool_call_id, call_version FROM messages
            WHERE context_id = owner_id AND version BETWEEN first_version AND last_version
            ORDER BY version
            OFFSET 0
        ) AS message
    ) AS walked
    WHERE opening IS NOT NULL
    GROUP BY opening
    HAVING max(version) <= least(highest, opening + 1000)
        AND coalesce(max(made), 0) = count(DISTINCT tool_call_id) FILTER (WHERE call_version = opening);
END
$$;

-- The compaction in force at a version; no row for none. Only what an ancestor had made by the version up to which it
-- counts: what it made later may say what this history does not have.
CREATE FUNCTION compactions_in_force(of_context uuid, at_version bigint) RETURNS SETOF compactions
LANGUAGE sql STABLE
AS $$
    SELECT made.*
    FROM lineage(of_context) AS level
    CROSS JOIN LATERAL (
        SELECT * FROM compactions
        WHERE context_id = owner_id AND undone_at IS NULL
            -- Both ends, or the planner may rather sort all that were ever made.
            AND through_version BETWEEN 1 AND least(at_version, last_version)
            AND made_at_version <= at_version AND number <= last_number
        ORDER BY through_version DESC, number DESC
        LIMIT 1
    ) AS made
    WHERE after_number < last_number
    ORDER BY through_version DESC, number DESC
    LIMIT 1
$$;

CREATE OR REPLACE FUNCTION compaction_in_force(of_context uuid) RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    RETURN coalesce((SELECT number FROM compactions_in_force(of_context, 9223372036854775807)), 0);
END
$$;

-- The sum of tokens up to a version of the context; 0 for version 0.
CREATE OR REPLACE FUNCTION cumulative_tokens_at(of_context uuid, at_version bigint) RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF at_version > 0 THEN
        -- token_count and the order keep it from being read out of messages_window_idx, where PostgreSQL may walk all
        -- of a history to find one version (1,096 buffers for 100,000 messages, measured).
        RETURN (
            SELECT message.cumulative_tokens
            FROM segments(of_context, at_version, at_version) AS segment
            CROSS JOIN LATERAL (
                SELECT cumulative_tokens FROM messages
                WHERE context_id = owner_id AND version BETWEEN at_version AND at_version AND token_count >= 0
                ORDER BY version
                LIMIT 1
            ) AS message
        );
    END IF;
    RETURN 0;
END
$$;

-- The newest version, at most latest, whose running sum of tokens is below so many; null where there is none. An
-- ancestor's messages behind the version up to which it counts are left out by the index: they may be any number.
CREATE FUNCTION version_below(of_context uuid, latest bigint, tokens bigint) RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN (
        SELECT least(message.version, latest)
        FROM lineage(of_context) AS level
        CROSS JOIN LATERAL (
            SELECT version FROM messages
            WHERE context_id = owner_id AND cumulative_tokens < tokens
                AND (cumulative_tokens, version) <= (last_tokens, last_version)
            ORDER BY cumulative_tokens DESC, version DESC
            LIMIT 1
        ) AS message
        WHERE after_tokens < tokens
        LIMIT 1
    );
END
$$;

CREATE OR REPLACE FUNCTION compaction_due(of_context uuid, base bigint, latest bigint, total bigint, keep bigint)
RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    -- From here on at most keep tokens follow.
    enough bigint := coalesce(version_below(of_context, latest, total - keep), 0) + 1;
    boundary bigint := (
        SELECT message.version
        FROM (SELECT * FROM segments(of_context, enough + 1, least(enough + 1001, latest)) ORDER BY first_version)
        CROSS JOIN LATERAL (
            SELECT version FROM messages
            WHERE context_id = owner_id AND version BETWEEN first_version AND last_version AND role <> 'tool'
            ORDER BY version
            LIMIT 1
        ) AS message
        LIMIT 1
    ) - 1;
BEGIN
    IF boundary IS NULL AND enough + 1001 >= latest THEN
        boundary := last_opening(of_context, latest - 1000, latest) - 1;
    END IF;
    boundary := compactable_to(of_context, latest, boundary);
    RETURN CASE WHEN boundary > base THEN boundary END;
END
$$;

-- The newest message between two versions that opens a unit; null where there is none.
CREATE FUNCTION last_opening(of_context uuid, lowest bigint, highest bigint) RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN (
        SELECT message.version
        FROM segments(of_context, lowest, highest) AS segment
        CROSS JOIN LATERAL (
            SELECT version FROM messages
            WHERE context_id = owner_id AND version BETWEEN first_version AND last_version AND role <> 'tool'
            ORDER BY version DESC
            LIMIT 1
        ) AS message
        LIMIT 1
    );
END
$$;

CREATE OR REPLACE FUNCTION cleared_reach(of_context uuid, lowest bigint, newest bigint, budget bigint) RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    chunk bigint := 64;
    top bigint := newest;
    spent bigint := 0;
    reached bigint;
    total bigint;
BEGIN
    WHILE top > lowest LOOP
        SELECT min(version) FILTER (WHERE running <= budget), max(running) INTO reached, total
        FROM (
            SELECT version, spent + sum(CASE role WHEN 'tool' THEN least(token_count, 4) ELSE token_count END)
                OVER (ROWS UNBOUNDED PRECEDING) AS running
            FROM segments(of_context, greatest(top - chunk, lowest) + 1, top) AS segment
            CROSS JOIN LATERAL (
                SELECT version, role, token_count FROM messages
                WHERE context_id = owner_id AND version BETWEEN first_version AND last_version
                ORDER BY version DESC
                OFFSET 0
            ) AS message
        ) AS walked;
        IF total > budget THEN
            RETURN coalesce(reached, top + 1);
        END IF;
        spent := total;
        top := greatest(top - chunk, lowest);
        chunk := least(chunk * 2, 1024);
    END LOOP;
    RETURN lowest + 1;
END
$$;

-- revision is that of the whole lineage as far as its compactions are seen: an ancestor may undo one.
CREATE OR REPLACE FUNCTION window_reach(
    of_context uuid, bare boolean, overrides jsonb, at_version bigint, at_time timestamptz, most_messages bigint,
    content boolean,
    OUT latest_version bigint, OUT version bigint, OUT revision bigint, OUT policy jsonb, OUT total_tokens bigint,
    OUT preamble bigint, OUT request_version bigint, OUT head_versions bigint[],
    OUT number bigint, OUT through_version bigint, OUT summary_tokens bigint, OUT summary_bytes bigint,
    OUT base bigint, OUT competing bigint,
    OUT newest_opening bigint, OUT first_version bigint, OUT cleared_at_least bigint, OUT cleared_at_most bigint,
    OUT due_version bigint, OUT due_tokens bigint, OUT summary json
)
LANGUAGE plpgsql STABLE
-- Or the planner, which sees short histories first, goes on to plan each look anew.
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    compactions_made bigint;
    ancestors uuid[];
    budget bigint;
    step bigint;
    keep bigint;
    preamble_tokens bigint := 0;
    request_tokens bigint := 0;
    room bigint;
    lowest bigint;
    newest bigint;
BEGIN
    SELECT context.latest_version, context.latest_version, context.revision, context.policy, context.total_tokens,
        context.compaction_count, CASE WHEN context.ancestor_numbers[1] > 0 THEN context.ancestor_ids END
    INTO latest_version, version, revision, policy, total_tokens, compactions_made, ancestors
    FROM contexts AS context
    WHERE context.id = of_context AND context.deleted_at IS NULL;
    IF latest_version IS NULL THEN
        RETURN;
    END IF;
    policy := CASE WHEN bare THEN '{}' ELSE policy END || overrides;
    budget := policy ->> 'budget';
    IF budget IS NULL OR at_version > latest_version THEN
        RETURN;
    END IF;
    IF ancestors IS NOT NULL THEN
        revision := revision + (SELECT sum(context.revision) FROM contexts AS context WHERE id = ANY (ancestors));
    END IF;
    step := coalesce((policy ->> 'step')::bigint, 0);
    keep := policy #>> '{clearToolResults,keepTokens}';
    IF at_version IS NOT NULL OR at_time IS NOT NULL THEN
        version := least(coalesce(at_version, version_at(of_context, latest_version, at_time)), latest_version);
        total_tokens := cumulative_tokens_at(of_context, version);
    END IF;

    preamble := 0;
    IF (policy ->> 'keepPreamble')::boolean THEN
        preamble := preamble_of(of_context, version);
        preamble_tokens := cumulative_tokens_at(of_context, preamble);
    END IF;
    IF compactions_made > 0 THEN
        SELECT made.number, made.through_version, made.token_count, made.json_bytes,
            CASE WHEN content THEN json_build_object(
                'context_id', made.context_id, 'role', made.role, 'content', made.summary,
                'metadata', made.metadata::text,
                'created_at', to_char(made.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
            ) END
        INTO number, through_version, summary_tokens, summary_bytes, summary
        FROM compactions_in_force(of_context, window_reach.version) AS made;
    END IF;
    summary_tokens := coalesce(summary_tokens, 0);
    summary_bytes := coalesce(summary_bytes, 0);
    base := greatest(preamble, through_version);
    competing := total_tokens;
    IF base > 0 THEN
        competing := competing - cumulative_tokens_at(of_context, base);
    END IF;
    room := budget - preamble_tokens - summary_tokens;

    newest_opening := last_opening(of_context, greatest(version - 1000, base + 1), version);
    IF (policy ->> 'keepRequest')::boolean THEN
        SELECT message.version, message.token_count INTO request_version, request_tokens
        FROM segments(of_context, 1, window_reach.version) AS segment
        CROSS JOIN LATERAL (
            SELECT message.version, message.token_count FROM messages AS message
            WHERE message.context_id = segment.owner_id AND message.role = 'user'
                AND message.version BETWEEN segment.first_version AND segment.last_version
            ORDER BY message.version DESC
            LIMIT 1
        ) AS message
        LIMIT 1;
    END IF;

    IF preamble > 0 OR request_version < coalesce(newest_opening, version + 1) THEN
        head_versions := ARRAY (SELECT generate_series(1, preamble));
        IF request_version < coalesce(newest_opening, version + 1) THEN
            head_versions := head_versions || request_version;
        END IF;
    END IF;

    lowest := greatest(base, version - most_messages);
    IF keep IS NOT NULL AND competing > room - coalesce(request_tokens, 0) THEN
        -- The most that the rule may clear: as if the next edge were a step away, with what the request leaves.
        cleared_at_most := total_tokens - greatest(least(keep, (room - coalesce(request_tokens, 0)) / 2), 0);
        IF competing > room THEN
            cleared_at_least := total_tokens - step - keep;
        END IF;
        newest := version_below(of_context, version, cleared_at_most + 1);
        IF newest IS NOT NULL THEN
            first_version := cleared_reach(of_context, lowest, newest,
                room - total_tokens + cumulative_tokens_at(of_context, newest));
        END IF;
    ELSIF competing > room THEN
        -- Two behind the last message that is more than the room away.
        first_version := version_below(of_context, version, total_tokens - room) + 2;
    END IF;
    -- Without a unit that a run could open with, it is empty.
    first_version := CASE WHEN newest_opening IS NULL THEN version + 1
        ELSE least(greatest(first_version, lowest + 1), newest_opening) END;

    IF preamble_tokens + summary_tokens + competing
        > (policy #>> '{compactionDue,threshold}')::numeric * budget
    THEN
        due_version := compaction_due(of_context, base, version, total_tokens,
            least((policy #>> '{compactionDue,keepTokens}')::bigint, budget));
        IF due_version IS NOT NULL THEN
            due_tokens := cumulative_tokens_at(of_context, due_version) - total_tokens + competing;
        END IF;
    END IF;
END
$$;

-- The newest of a context's own compactions, of numbers behind one up to another, that it had made at a version; the
-- former where there is none. By bisection, as versions never run backwards.
CREATE FUNCTION compaction_made_by(owner uuid, after_number bigint, last_number bigint, at_version bigint)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    made bigint := after_number;
    later bigint := last_number + 1;
    -- The last one first: most often all had been made.
    middle bigint := last_number;
BEGIN
    WHILE made + 1 < later LOOP
        IF (SELECT made_at_version <= at_version FROM compactions WHERE context_id = owner AND number = middle) THEN
            made := middle;
        ELSE
            later := middle;
        END IF;
        middle := (made + later) / 2;
    END LOOP;
    RETURN made;
END
$$;

-- The ancestors of a fork of a context at a version: the context itself and its own, as far as they have anything up to
-- there. VOLATILE, because it may be called behind a row lock.
CREATE FUNCTION ancestors_at(
    of_context uuid, at_version bigint,
    OUT ancestor_ids uuid[], OUT ancestor_versions bigint[], OUT ancestor_tokens bigint[],
    OUT ancestor_numbers bigint[]
)
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    SELECT array_agg(owner_id), array_agg(version), array_agg(tokens), array_agg(number)
    INTO ancestor_ids, ancestor_versions, ancestor_tokens, ancestor_numbers
    FROM (
        SELECT owner_id, after_version, after_number,
            least(last_version, at_version) AS version,
            CASE WHEN last_version <= at_version THEN last_tokens
                ELSE cumulative_tokens_at(of_context, at_version) END AS tokens,
            CASE WHEN last_version <= at_version THEN last_number
                ELSE compaction_made_by(owner_id, after_number, last_number, at_version) END AS number
        FROM lineage(of_context)
        WHERE after_version <= at_version
        OFFSET 0
    ) AS level
    WHERE after_version < at_version OR after_number < number;
END
$$;

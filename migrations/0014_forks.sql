-- Forks: contexts that share another's history up to a version, without copying it.
--
-- A fork's row has its whole lineage, oldest ancestor first, each with the version up to which it counts, the running
-- sum of tokens there and the number of the newest compaction made up to there: 40 bytes a level, so that no read walks
-- from row to row. An ancestor that would add nothing is left out, and so parent_id need not be the last. Versions, sums
-- and numbers of the fork itself go on from the last of these. All null in what is no fork, and in one at version 0.
--
-- New columns are null throughout, so nothing is rewritten, and the check needs no scan; the next file validates it.
-- Takes ACCESS EXCLUSIVE on contexts for an instant.

ALTER TABLE contexts
    ADD COLUMN ancestor_ids uuid[],
    ADD COLUMN ancestor_versions bigint[],
    ADD COLUMN ancestor_tokens bigint[],
    ADD COLUMN ancestor_numbers bigint[],
    ADD CONSTRAINT contexts_ancestors_check CHECK (
        num_nulls(ancestor_ids, ancestor_versions, ancestor_tokens, ancestor_numbers) IN (0, 4)
    ) NOT VALID;

-- All functions below take a lineage as arrays, or look it up: owners are the ancestors and last the context itself,
-- `ancestor_ids || id`; each owns the versions behind its start, `0 || ancestor_versions`, up to the next one's. They
-- loop over the owners of a range, most often one, in statements as plain as for what is no fork. What is called behind a
-- row lock is VOLATILE, to see what was committed while it was waited for; what that calls is STABLE, and sees the same.
--
-- Those by which the release before appends, compacts and reads windows still take a context's id, and look its lineage
-- up: so what it does to a fork is right, too, though it shows one without its ancestors. For its other reads version_at,
-- preamble_of, answered_units, compactable_to and compactable_from of a context's id stay as they are. A later file drops
-- them, and compaction_due and cleared_reach of one, which nothing calls any more.

-- Who owns a version. One expression, which PostgreSQL puts into the statement that calls it.
CREATE FUNCTION owner_of(owners uuid[], starts bigint[], version bigint) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN owners[width_bucket(version - 1, starts)];

-- Who owns a range of versions, newest first, and up to which each does. A LATERAL join keeps that order, as it can only
-- be a nested loop: what adds up over one needs no sort. PostgreSQL puts this, too, into the statement that calls it, and
-- takes it for one row: for a thousand, as of generate_series, it would compile the statement.
CREATE FUNCTION segments(owners uuid[], starts bigint[], first bigint, last bigint)
RETURNS TABLE (owner uuid, upto bigint)
LANGUAGE sql IMMUTABLE
AS $$
    SELECT id, least(last, starts[level + 1])
    FROM unnest(owners) WITH ORDINALITY AS owner (id, level)
    WHERE level BETWEEN width_bucket(first - 1, starts) AND width_bucket(last - 1, starts)
    ORDER BY level DESC
$$;

CREATE OR REPLACE FUNCTION previous_created_at(of_context uuid, at_version bigint, not_before timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    previous timestamptz := (
        SELECT message.created_at
        FROM contexts AS context
        JOIN messages AS message
            ON message.context_id = owner_of(ancestor_ids || context.id, 0::bigint || ancestor_versions, at_version)
            AND message.version = at_version
        WHERE context.id = of_context
    );
BEGIN
    IF not_before < previous THEN
        RAISE EXCEPTION 'a message would be before the one before it'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'messages_created_at_check';
    END IF;
    RETURN previous;
END
$$;

CREATE OR REPLACE FUNCTION call_before(of_context uuid, of_version bigint, call_id text) RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    owners uuid[];
    starts bigint[];
    call bigint;
BEGIN
    SELECT ancestor_ids || id, 0::bigint || ancestor_versions INTO owners, starts FROM contexts WHERE id = of_context;
    FOR level IN REVERSE width_bucket(of_version - 2, starts) .. greatest(width_bucket(of_version - 1001, starts), 1) LOOP
        SELECT version INTO call FROM messages
        WHERE context_id = owners[level]
            AND version BETWEEN of_version - 1000 AND least(of_version - 1, starts[level + 1])
            AND call_id = ANY (call_ids)
        ORDER BY version DESC
        LIMIT 1;
        EXIT WHEN FOUND;
    END LOOP;
    RETURN coalesce(call, 0);
END
$$;

CREATE OR REPLACE FUNCTION calls_before(of_context uuid, at_version bigint, ids text[]) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    owners uuid[];
    starts bigint[];
    calls bigint[] := array_fill(NULL::bigint, ARRAY[cardinality(ids)]);
    newest bigint := at_version;
    oldest bigint := at_version - 19;
BEGIN
    SELECT ancestor_ids || id, 0::bigint || ancestor_versions INTO owners, starts FROM contexts WHERE id = of_context;
    LOOP
        FOR level IN REVERSE width_bucket(newest - 1, starts) .. greatest(width_bucket(oldest - 1, starts), 1) LOOP
            SELECT array_agg(coalesce(calls[number], found.version) ORDER BY number) INTO calls
            FROM unnest(ids) WITH ORDINALITY AS wanted (id, number)
            LEFT JOIN (
                SELECT call_id, max(version) AS version
                FROM (
                    -- Ordered, so that they are read by the primary key.
                    SELECT version, call_ids FROM messages
                    WHERE context_id = owners[level] AND version BETWEEN oldest AND least(newest, starts[level + 1])
                    ORDER BY version
                ) AS read, unnest(call_ids) AS call_id
                GROUP BY call_id
            ) AS found ON found.call_id = wanted.id;
        END LOOP;
        EXIT WHEN oldest <= 1 OR oldest = at_version - 999
            OR cardinality(array_remove(calls, NULL)) = cardinality(array_remove(ids, NULL));
        newest := oldest - 1;
        oldest := at_version - 999;
    END LOOP;
    RETURN calls;
END
$$;

-- The newest version that existed at a time; 0 before the first message. By bisection, as times never run backwards.
CREATE FUNCTION version_at(owners uuid[], starts bigint[], latest bigint, moment timestamptz) RETURNS bigint
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
            SELECT created_at <= moment FROM messages
            WHERE context_id = owner_of(owners, starts, middle) AND version BETWEEN middle AND middle
            ORDER BY version
            LIMIT 1
        ) THEN
            existed := middle;
        ELSE
            later := middle;
        END IF;
    END LOOP;
    RETURN existed;
END
$$;

-- The number of leading system messages, 16 at most, of a history up to version latest.
CREATE FUNCTION preamble_of(owners uuid[], starts bigint[], latest bigint) RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    preamble bigint := 0;
    most bigint := least(latest, 16);
    led bigint;
BEGIN
    FOR level IN 1 .. width_bucket(most - 1, starts) LOOP
        SELECT count(*) FILTER (WHERE leads) INTO led
        FROM (
            SELECT bool_and(role = 'system') OVER (ORDER BY version) AS leads
            FROM messages
            WHERE context_id = owners[level] AND version BETWEEN 1 AND least(most, starts[level + 1])
        ) AS opening;
        preamble := preamble + led;
        EXIT WHEN preamble < starts[level + 1];
    END LOOP;
    RETURN preamble;
END
$$;

-- The last versions of the units between two versions, of a history up to version latest, whose calls are all answered
-- in them; a unit has 1,001 messages at most. An answer names its call, so it is enough to count.
CREATE FUNCTION answered_units(owners uuid[], starts bigint[], lowest bigint, highest bigint, latest bigint)
RETURNS SETOF bigint
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    -- One more, to see whether it goes on with the last unit.
    newest bigint := least(highest + 1, latest);
BEGIN
    RETURN QUERY
    SELECT max(version)
    FROM (
        SELECT version, tool_call_id, call_version,
            CASE WHEN cardinality(call_ids) > 1 THEN (SELECT count(DISTINCT id) FROM unnest(call_ids) AS id)
                ELSE cardinality(call_ids) END AS made,
            -- In the order in which they come: by level, and by version in each.
            max(version) FILTER (WHERE role <> 'tool') OVER (ROWS UNBOUNDED PRECEDING) AS opening
        FROM (SELECT * FROM segments(owners, starts, lowest, newest) ORDER BY upto) AS segment
        CROSS JOIN LATERAL (
            SELECT version, role, tool_call_id, call_version, call_ids FROM messages
            WHERE context_id = owner AND version BETWEEN lowest AND upto
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

-- The greatest version up to through, and within 1,000 of it, that a compaction of a history up to version latest can
-- reach: behind the preamble, at the end of a unit whose calls are all answered. Null where there is none. Among the
-- newest 30 first, as it mostly is.
CREATE FUNCTION compactable_to(owners uuid[], starts bigint[], latest bigint, through bigint) RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    lowest bigint;
    -- A preamble has 16 messages at most.
    least_version bigint := greatest(
        CASE WHEN through < 1016 THEN preamble_of(owners, starts, latest) END, through - 1000
    ) + 1;
    found bigint;
BEGIN
    FOREACH lowest IN ARRAY ARRAY[through - 30, through - 2000] LOOP
        SELECT max(last) INTO found
        FROM answered_units(owners, starts, lowest, through, latest) AS last
        WHERE last >= least_version;
        EXIT WHEN found IS NOT NULL OR lowest <= 1;
    END LOOP;
    RETURN found;
END
$$;

-- The least version above through, and within 1,000 of it, that a compaction can reach; null where there is none.
CREATE FUNCTION compactable_from(owners uuid[], starts bigint[], latest bigint, through bigint) RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    behind bigint := greatest(preamble_of(owners, starts, latest), through);
BEGIN
    RETURN (
        SELECT min(last)
        FROM answered_units(owners, starts, through - 1000, through + 1000, latest) AS last
        WHERE last > behind
    );
END
$$;

-- The compaction in force at a version, by who made it and its number; nulls for none. counts are for numbers what
-- starts are for versions: of an ancestor only what it had made by the version up to which it counts is seen, as what
-- it made later may say what this history does not have.
CREATE FUNCTION compaction_in_force(
    owners uuid[], starts bigint[], counts bigint[], at_version bigint, OUT owner uuid, OUT number bigint
)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    reached bigint := 0;
    furthest record;
BEGIN
    FOR level IN REVERSE cardinality(owners) .. 1 LOOP
        -- An ancestor's reach no further than it counts.
        EXIT WHEN reached >= starts[level + 1] OR counts[level + 1] = 0;
        CONTINUE WHEN counts[level] = counts[level + 1];
        SELECT made.through_version, made.number INTO furthest
        FROM compactions AS made
        WHERE made.context_id = owners[level] AND made.undone_at IS NULL
            -- Both ends, or the planner may rather sort all that were ever made.
            AND made.through_version BETWEEN 1 AND least(at_version, starts[level + 1])
            AND made.made_at_version <= at_version
            AND made.number <= coalesce(counts[level + 1], 9223372036854775807)
        ORDER BY made.through_version DESC, made.number DESC
        LIMIT 1;
        IF furthest.through_version > reached THEN
            reached := furthest.through_version;
            owner := owners[level];
            number := furthest.number;
        END IF;
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION compaction_in_force(of_context uuid) RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    RETURN coalesce((
        SELECT number
        FROM contexts
        CROSS JOIN LATERAL compaction_in_force(
            ancestor_ids || id, 0::bigint || ancestor_versions, 0::bigint || ancestor_numbers, 9223372036854775807
        )
        WHERE id = of_context
    ), 0);
END
$$;

CREATE OR REPLACE FUNCTION check_compaction(of_context uuid, latest bigint, through bigint, expected bigint)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    in_force bigint := compaction_in_force(of_context);
BEGIN
    IF in_force <> expected THEN
        RAISE EXCEPTION 'another compaction is in force'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'compactions_expected_number_check';
    END IF;
    IF through > latest OR through IS DISTINCT FROM (
        SELECT compactable_to(ancestor_ids || id, 0::bigint || ancestor_versions, latest, through)
        FROM contexts WHERE id = of_context
    ) THEN
        RAISE EXCEPTION 'a compaction cannot reach this version'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'compactions_through_version_check';
    END IF;
    RETURN in_force;
END
$$;

-- The newest version, at most latest, whose running sum of tokens is below so many; null where there is none. sums are
-- those at the starts. What an ancestor has behind the version up to which it counts may be any number of messages, and
-- is left out by the index.
CREATE FUNCTION version_below(owners uuid[], starts bigint[], sums bigint[], latest bigint, tokens bigint)
RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    below bigint;
BEGIN
    FOR level IN REVERSE width_bucket(tokens - 1, sums) .. 1 LOOP
        SELECT version INTO below FROM messages
        -- One end, where the index is entered: of two it might be the one that all of a history lies behind.
        WHERE context_id = owners[level] AND (cumulative_tokens, version) <= (
            least(tokens - 1, sums[level + 1]),
            CASE WHEN sums[level + 1] < tokens THEN starts[level + 1] ELSE 9223372036854775807 END
        )
        ORDER BY cumulative_tokens DESC, version DESC
        LIMIT 1;
        EXIT WHEN FOUND;
    END LOOP;
    RETURN CASE WHEN below IS NOT NULL THEN least(below, latest) END;
END
$$;

-- The version through which a history from base to version latest should be compacted, of total tokens up to there:
-- the first unit boundary that leaves at most keep tokens behind it, or else the last before the newest unit, which opens
-- at newest; and where no compaction can reach it, the nearest before it that one can. Null where there is none behind
-- base, and where the unit in question has more than 1,001 messages.
CREATE FUNCTION compaction_due(
    owners uuid[], starts bigint[], sums bigint[], base bigint, latest bigint, newest bigint, total bigint, keep bigint
) RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    -- From here on at most keep tokens follow.
    enough bigint := coalesce(version_below(owners, starts, sums, latest, total - keep), 0) + 1;
    most bigint := least(enough + 1001, latest);
    boundary bigint;
BEGIN
    FOR level IN width_bucket(enough, starts) .. width_bucket(most - 1, starts) LOOP
        SELECT version - 1 INTO boundary FROM messages
        WHERE context_id = owners[level] AND role <> 'tool'
            AND version BETWEEN enough + 1 AND least(most, starts[level + 1])
        ORDER BY version
        LIMIT 1;
        EXIT WHEN FOUND;
    END LOOP;
    IF boundary IS NULL AND most = latest THEN
        boundary := newest - 1;
    END IF;
    boundary := compactable_to(owners, starts, latest, boundary);
    RETURN CASE WHEN boundary > base THEN boundary END;
END
$$;

-- How far back a run can reach whose tool messages are cleared: the oldest version from which those up to newest take
-- no more than budget tokens, a tool message 4 at most; lowest + 1 at the furthest. It walks back in chunks, so it
-- reads no more than it answers for, give or take as much again.
CREATE FUNCTION cleared_reach(owners uuid[], starts bigint[], lowest bigint, newest bigint, budget bigint)
RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    chunk bigint := 64;
    top bigint := newest;
    bottom bigint;
    spent bigint := 0;
    reached bigint;
    total bigint;
BEGIN
    WHILE top > lowest LOOP
        bottom := greatest(top - chunk, lowest);
        SELECT min(version) FILTER (WHERE running <= budget), max(running) INTO reached, total
        FROM (
            SELECT version, spent + sum(CASE role WHEN 'tool' THEN least(token_count, 4) ELSE token_count END)
                OVER (ROWS UNBOUNDED PRECEDING) AS running
            FROM segments(owners, starts, bottom + 1, top)
            CROSS JOIN LATERAL (
                SELECT version, role, token_count FROM messages
                WHERE context_id = owner AND version BETWEEN bottom + 1 AND upto
                ORDER BY version DESC
                OFFSET 0
            ) AS message
        ) AS walked;
        IF total > budget THEN
            RETURN coalesce(reached, top + 1);
        END IF;
        spent := total;
        top := bottom;
        chunk := least(chunk * 2, 1024);
    END LOOP;
    RETURN lowest + 1;
END
$$;

-- What is known of a window before its messages are read; nulls where there is no such context. All but policy are
-- versions, tokens, or numbers of compactions. A window may hold head_versions, which are 1 to preamble and the
-- request's where that lies before the newest unit, and of versions first_version to version what the rule chooses. Of
-- what the rule may clear, what cumulative_tokens puts at cleared_at_least or before is cleared for certain, and
-- nothing behind cleared_at_most is. The summary comes with content alone, its metadata as text, to be kept to the
-- letter. revision is that of the whole lineage where compactions of it are seen: an ancestor may undo them. STABLE: it
-- sees what the statement sees that calls it.
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
    owners uuid[];
    starts bigint[];
    sums bigint[];
    counts bigint[];
    compactor uuid;
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
        context.compaction_count, context.ancestor_ids || context.id, 0::bigint || context.ancestor_versions,
        0::bigint || context.ancestor_tokens, 0::bigint || context.ancestor_numbers
    INTO latest_version, version, revision, policy, total_tokens, compactions_made, owners, starts, sums, counts
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
    IF counts[cardinality(counts)] > 0 THEN
        revision := (SELECT sum(context.revision) FROM contexts AS context WHERE context.id = ANY (owners));
    END IF;
    step := coalesce((policy ->> 'step')::bigint, 0);
    keep := policy #>> '{clearToolResults,keepTokens}';
    IF at_version IS NOT NULL OR at_time IS NOT NULL THEN
        version := least(coalesce(at_version, version_at(owners, starts, latest_version, at_time)), latest_version);
        total_tokens := cumulative_tokens_at(owner_of(owners, starts, version), version);
    END IF;

    preamble := 0;
    IF (policy ->> 'keepPreamble')::boolean THEN
        preamble := preamble_of(owners, starts, version);
        preamble_tokens := cumulative_tokens_at(owner_of(owners, starts, preamble), preamble);
    END IF;
    IF compactions_made > 0 THEN
        SELECT in_force.owner, in_force.number INTO compactor, number
        FROM compaction_in_force(owners, starts, counts, version) AS in_force;
    END IF;
    IF number IS NOT NULL THEN
        SELECT made.through_version, made.token_count, made.json_bytes,
            CASE WHEN content THEN json_build_object(
                'context_id', made.context_id, 'role', made.role, 'content', made.summary,
                'metadata', made.metadata::text,
                'created_at', to_char(made.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
            ) END
        INTO through_version, summary_tokens, summary_bytes, summary
        FROM compactions AS made
        WHERE made.context_id = compactor AND made.number = window_reach.number;
    END IF;
    summary_tokens := coalesce(summary_tokens, 0);
    summary_bytes := coalesce(summary_bytes, 0);
    base := greatest(preamble, through_version);
    competing := total_tokens;
    IF base > 0 THEN
        competing := competing - cumulative_tokens_at(owner_of(owners, starts, base), base);
    END IF;
    room := budget - preamble_tokens - summary_tokens;

    lowest := greatest(version - 1000, base + 1);
    FOR level IN REVERSE width_bucket(version - 1, starts) .. width_bucket(lowest - 1, starts) LOOP
        SELECT message.version INTO newest_opening
        FROM messages AS message
        WHERE message.context_id = owners[level] AND message.role <> 'tool'
            AND message.version BETWEEN lowest AND least(window_reach.version, starts[level + 1])
        ORDER BY message.version DESC
        LIMIT 1;
        EXIT WHEN FOUND;
    END LOOP;
    IF (policy ->> 'keepRequest')::boolean THEN
        FOR level IN REVERSE width_bucket(version - 1, starts) .. 1 LOOP
            SELECT message.version, message.token_count INTO request_version, request_tokens
            FROM messages AS message
            WHERE message.context_id = owners[level] AND message.role = 'user'
                AND message.version <= least(window_reach.version, starts[level + 1])
            ORDER BY message.version DESC
            LIMIT 1;
            EXIT WHEN FOUND;
        END LOOP;
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
        newest := version_below(owners, starts, sums, version, cleared_at_most + 1);
        IF newest IS NOT NULL THEN
            first_version := cleared_reach(owners, starts, lowest, newest,
                room - total_tokens + cumulative_tokens_at(owner_of(owners, starts, newest), newest));
        END IF;
    ELSIF competing > room THEN
        -- Two behind the last message that is more than the room away.
        first_version := version_below(owners, starts, sums, version, total_tokens - room) + 2;
    END IF;
    -- Without a unit that a run could open with, it is empty.
    first_version := CASE WHEN newest_opening IS NULL THEN version + 1
        ELSE least(greatest(first_version, lowest + 1), newest_opening) END;

    IF preamble_tokens + summary_tokens + competing
        > (policy #>> '{compactionDue,threshold}')::numeric * budget
    THEN
        due_version := compaction_due(owners, starts, sums, base, version, newest_opening, total_tokens,
            least((policy #>> '{compactionDue,keepTokens}')::bigint, budget));
        IF due_version IS NOT NULL THEN
            due_tokens := cumulative_tokens_at(owner_of(owners, starts, due_version), due_version) - total_tokens
                + competing;
        END IF;
    END IF;
END
$$;

-- The newest of a context's own compactions, of the numbers behind one up to another, that it had made at a version; the
-- former where there is none. By bisection, as versions never run backwards.
CREATE FUNCTION compaction_made_by(owner uuid, first bigint, last bigint, at_version bigint) RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    made bigint := first;
    later bigint := last + 1;
    -- The last one at once: most often all had been made.
    middle bigint := last;
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

-- The ancestors of a fork at a version, from the lineage of the context that it forks, which has made so many
-- compactions; nulls where none of them has anything up to there. The newest that begins at the version has at most a
-- compaction there; where it has none, those before it have all of it. tokens is the running sum at the version, where
-- that is known. VOLATILE: a fork that has waited for its parent's row must see what was committed meanwhile.
CREATE FUNCTION ancestors_at(
    owners uuid[], starts bigint[], sums bigint[], counts bigint[], made bigint, at_version bigint, tokens bigint,
    OUT ancestor_ids uuid[], OUT ancestor_versions bigint[], OUT ancestor_tokens bigint[], OUT ancestor_numbers bigint[]
)
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    kept integer := width_bucket(at_version, starts);
    number bigint := compaction_made_by(owners[kept], counts[kept], coalesce(counts[kept + 1], made), at_version);
BEGIN
    IF starts[kept] = at_version AND counts[kept] = number THEN
        kept := kept - 1;
    END IF;
    IF kept > 0 THEN
        ancestor_ids := owners[:kept];
        ancestor_versions := starts[2:kept] || at_version;
        ancestor_tokens := sums[2:kept]
            || coalesce(tokens, cumulative_tokens_at(owner_of(owners, starts, at_version), at_version));
        ancestor_numbers := counts[2:kept] || number;
    END IF;
END
$$;

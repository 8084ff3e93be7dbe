-- Windows: how far back one reaches, and what stands before it. A function, because most of what a policy may ask for
-- it mostly does not: one statement for all of it takes longer to start than to run (measured: 0.3 ms of 0.8).
--
-- New functions alone: nothing is locked, and the release before does not know them.

-- The sum of tokens up to a version of the context; 0 for version 0.
CREATE FUNCTION cumulative_tokens_at(of_context uuid, at_version bigint) RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF at_version > 0 THEN
        -- token_count and the order keep it from being read out of messages_window_idx, where PostgreSQL may walk all
        -- of a history to find one version (1,096 buffers for 100,000 messages, measured).
        RETURN (
            SELECT cumulative_tokens FROM messages
            WHERE context_id = of_context AND version BETWEEN at_version AND at_version AND token_count >= 0
            ORDER BY version
            LIMIT 1
        );
    END IF;
    RETURN 0;
END
$$;

-- How far back a run can reach whose tool messages are cleared: the oldest version from which those up to newest take
-- no more than budget tokens, a tool message 4 at most; lowest + 1 at the furthest. It walks back in chunks, so it
-- reads no more than it answers for, give or take as much again.
CREATE FUNCTION cleared_reach(of_context uuid, lowest bigint, newest bigint, budget bigint) RETURNS bigint
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
                OVER (ORDER BY version DESC ROWS UNBOUNDED PRECEDING) AS running
            FROM messages
            WHERE context_id = of_context AND version BETWEEN greatest(top - chunk, lowest) + 1 AND top
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

-- What is known of a window before its messages are read; nulls where there is no such context. All but policy are
-- versions, tokens, or numbers of compactions. A window may hold head_versions, which are 1 to preamble and the
-- request's where that lies before the newest unit, and of versions first_version to version what the rule chooses. Of
-- what the rule may clear, what cumulative_tokens puts at cleared_at_least or before is cleared for certain, and
-- nothing behind cleared_at_most is. The summary comes with content alone, its metadata as text, to be kept to the
-- letter. STABLE: it sees what the statement sees that calls it.
CREATE FUNCTION window_reach(
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
    budget bigint;
    step bigint;
    keep bigint;
    preamble_tokens bigint := 0;
    request_tokens bigint := 0;
    room bigint;
    lowest bigint;
BEGIN
    SELECT context.latest_version, context.latest_version, context.revision, context.policy, context.total_tokens,
        context.compaction_count
    INTO latest_version, version, revision, policy, total_tokens, compactions_made
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
        FROM compactions AS made
        WHERE made.context_id = of_context AND made.undone_at IS NULL
            -- Both ends, or the planner may rather sort all that were ever made.
            AND made.through_version BETWEEN 1 AND window_reach.version
            AND made.made_at_version <= window_reach.version
        ORDER BY made.through_version DESC, made.number DESC
        LIMIT 1;
    END IF;
    summary_tokens := coalesce(summary_tokens, 0);
    summary_bytes := coalesce(summary_bytes, 0);
    base := greatest(preamble, through_version);
    competing := total_tokens;
    IF base > 0 THEN
        competing := competing - cumulative_tokens_at(of_context, base);
    END IF;
    room := budget - preamble_tokens - summary_tokens;

    SELECT message.version INTO newest_opening
    FROM messages AS message
    WHERE message.context_id = of_context AND message.role <> 'tool'
        AND message.version BETWEEN greatest(window_reach.version - 1000, base + 1) AND window_reach.version
    ORDER BY message.version DESC
    LIMIT 1;
    IF (policy ->> 'keepRequest')::boolean THEN
        SELECT message.version, message.token_count INTO request_version, request_tokens
        FROM messages AS message
        WHERE message.context_id = of_context AND message.role = 'user' AND message.version <= window_reach.version
        ORDER BY message.version DESC
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
        SELECT cleared_reach(of_context, lowest, least(message.version, window_reach.version),
            room - total_tokens + message.cumulative_tokens)
        INTO first_version
        FROM messages AS message
        WHERE message.context_id = of_context AND message.cumulative_tokens <= cleared_at_most
        ORDER BY message.cumulative_tokens DESC, message.version DESC
        LIMIT 1;
    ELSIF competing > room THEN
        -- Two behind the last message that is more than the room away.
        SELECT message.version + 2 INTO first_version
        FROM messages AS message
        WHERE message.context_id = of_context AND message.cumulative_tokens < total_tokens - room
        ORDER BY message.cumulative_tokens DESC, message.version DESC
        LIMIT 1;
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

-- Policies: how a context's windows are chosen, and the counter by which their ETags tell one choice from another.
--
-- Columns with a constant default: existing rows are as if they had been written with it, and no row is rewritten. The
-- release before names its columns, so that what it inserts gets the defaults. An append changes neither and stays HOT.
-- Takes ACCESS EXCLUSIVE on contexts for an instant.

ALTER TABLE contexts
    ADD COLUMN policy jsonb NOT NULL DEFAULT '{}',
    -- Moves with each change of the policy and each compaction made or undone: what windows show besides messages.
    ADD COLUMN revision bigint NOT NULL DEFAULT 0;

-- The newest version that existed at a time; 0 before the first message. By bisection, as times never run backwards.
-- STABLE: it sees what the statement sees that calls it.
CREATE FUNCTION version_at(of_context uuid, latest bigint, moment timestamptz) RETURNS bigint
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
            WHERE context_id = of_context AND version BETWEEN middle AND middle
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
CREATE FUNCTION preamble_of(of_context uuid, latest bigint) RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN (
        SELECT count(*) FROM (
            SELECT bool_and(role = 'system') OVER (ORDER BY version) AS leads
            FROM messages
            WHERE context_id = of_context AND version BETWEEN 1 AND least(latest, 16)
        ) AS opening
        WHERE leads
    );
END
$$;

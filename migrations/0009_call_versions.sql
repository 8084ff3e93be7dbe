-- Each tool message names the version of the call that it answers, and the bytes of its metadata as JSON text, so that
-- windows need neither look for the one nor read the other.
--
-- The newest message before it, among the 1,000 versions before, with a call of that id; 0 where there is none; null
-- where that is not settled yet, and in all messages but tool messages. An append settles both, or leaves them to a
-- trigger, as the release before does; the rows that are there the next file does. A new column is null throughout, so
-- nothing is rewritten, and its check needs no scan; it is validated in the next file. Takes ACCESS EXCLUSIVE on
-- messages for an instant.

ALTER TABLE messages
    ADD COLUMN call_version bigint,
    ADD COLUMN metadata_bytes integer,
    ADD CONSTRAINT messages_call_version_check CHECK (
        CASE WHEN call_version IS NULL THEN metadata_bytes IS NULL
            ELSE role = 'tool' AND call_version >= 0 AND call_version < version AND metadata_bytes IS NOT NULL END
    ) NOT VALID;

-- In plpgsql, as all that follows: it keeps its plans from one statement to the next.
CREATE FUNCTION call_before(of_context uuid, of_version bigint, call_id text) RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    RETURN coalesce((
        SELECT version FROM messages
        WHERE context_id = of_context AND version BETWEEN of_version - 1000 AND of_version - 1
            AND call_id = ANY (call_ids)
        ORDER BY version DESC
        LIMIT 1
    ), 0);
END
$$;

-- For each of ids the newest version with a call of that id among the 1,000 up to at_version, all in one scan; null
-- where there is none. The newest 20 first, where most calls are. VOLATILE, because an append calls it behind the row
-- lock that it has waited for: its own snapshot is from before the wait and may miss the call.
CREATE FUNCTION calls_before(of_context uuid, at_version bigint, ids text[]) RETURNS bigint[]
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
            FROM (
                -- Ordered, so that they are read by the primary key.
                SELECT version, call_ids FROM messages
                WHERE context_id = of_context AND version BETWEEN oldest AND newest
                ORDER BY version
            ) AS read, unnest(call_ids) AS call_id
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

CREATE FUNCTION settle_call_version() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    NEW.call_version := call_before(NEW.context_id, NEW.version, NEW.tool_call_id);
    NEW.metadata_bytes := octet_length(NEW.metadata::text);
    RETURN NEW;
END
$$;

CREATE TRIGGER messages_settle_call_version
    BEFORE INSERT ON messages
    FOR EACH ROW WHEN (NEW.role = 'tool' AND NEW.call_version IS NULL)
    EXECUTE FUNCTION settle_call_version();

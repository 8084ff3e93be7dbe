-- Contexts by the caller's own id, creations whose answer is kept, and imports that keep their times.
--
-- external_id is unique among the living, by an index in the next file. A new column is null throughout, so its check
-- needs no scan; it is validated in the next file, under a lock that lets reads and writes go on.
-- answer is what a creation was answered with; null in rows of the release before, which are answered as it did.
-- The release before inserts neither column and so writes nulls. Takes ACCESS EXCLUSIVE on both tables for an instant.

ALTER TABLE contexts
    ADD COLUMN external_id text,
    ADD CONSTRAINT contexts_external_id_check CHECK (char_length(external_id) BETWEEN 1 AND 255) NOT VALID;

ALTER TABLE context_keys
    ADD COLUMN answer json;

-- The time of a context's message, null for version 0. Raises where that is later than not_before, the time that a
-- client gave for a message behind it. VOLATILE, because an append calls it behind the row lock that it has waited for:
-- the append's own snapshot is from before the wait and may miss the message.
CREATE FUNCTION previous_created_at(of_context uuid, at_version bigint, not_before timestamptz) RETURNS timestamptz
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    previous timestamptz := (SELECT created_at FROM messages WHERE context_id = of_context AND version = at_version);
BEGIN
    IF not_before < previous THEN
        RAISE EXCEPTION 'a message would be before the one before it'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'messages_created_at_check';
    END IF;
    RETURN previous;
END
$$;

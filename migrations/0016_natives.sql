-- Natives: what a provider gave, to the letter, beside what was made of it.
--
-- Kept where the same format could not make an equal one of the normalised message: of all that an assistant says, and
-- of what else has members that are the provider's alone. NULL for messages in our own format, and for all that the
-- release before writes: such a message is translated.
-- New columns without a default: touches the catalog alone, however large messages is. The check holds for rows to come
-- and is never validated, as existing rows have none of the three, and looking at all of them would take hours.

ALTER TABLE messages
    ADD COLUMN native json,
    ADD COLUMN native_format text,
    -- Bytes of native, so that reads can stop before they are more than an answer may be.
    ADD COLUMN native_bytes integer,
    ADD CONSTRAINT messages_native_check CHECK (num_nulls(native, native_format, native_bytes) IN (0, 3)) NOT VALID;

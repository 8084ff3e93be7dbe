-- migrate: no-transaction
-- Makes external_id unique among contexts that are not deleted, and validates its check.
--
-- Reads and writes go on meanwhile. Contexts without an external_id are not in the index, so it is as large as what it
-- serves. Appends change none of its columns and stay HOT.

DROP INDEX CONCURRENTLY IF EXISTS contexts_external_id_key;
CREATE UNIQUE INDEX CONCURRENTLY contexts_external_id_key
    ON contexts (external_id) WHERE deleted_at IS NULL AND external_id IS NOT NULL;
ALTER TABLE contexts VALIDATE CONSTRAINT contexts_external_id_check;

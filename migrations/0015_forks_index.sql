-- migrate: no-transaction
-- Finds the forks of a context, and the contexts that are none, in the order of lists; validates the check of the file
-- before.
--
-- Each context is in one of them. Neither is for all contexts: PostgreSQL, without statistics, would read all of such an
-- index to find a context by its id. Reads and writes go on while they are built. Appends change none of their columns
-- and stay HOT.

DROP INDEX CONCURRENTLY IF EXISTS contexts_forks_idx;
CREATE INDEX CONCURRENTLY contexts_forks_idx ON contexts (parent_id, created_at, id)
    WHERE deleted_at IS NULL AND parent_id IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS contexts_roots_idx;
CREATE INDEX CONCURRENTLY contexts_roots_idx ON contexts (created_at, id)
    WHERE deleted_at IS NULL AND parent_id IS NULL;
ALTER TABLE contexts VALIDATE CONSTRAINT contexts_ancestors_check;

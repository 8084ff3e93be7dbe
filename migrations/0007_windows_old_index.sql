-- migrate: no-transaction
-- Drops the index that messages_window_idx has taken the place of. A file of its own, so that a run which ends in the
-- middle never leaves windows without either. Waits for the statements that use it, and holds up none.

DROP INDEX CONCURRENTLY IF EXISTS messages_cumulative_tokens_idx;

-- migrate: no-transaction
-- The index that windows walk gets the version behind the running sum.
--
-- Messages without tokens share their running sum, so that a window at a past version had to read all of a history of
-- images to find its own. Reads and writes go on while it is built, which takes about a minute for 50 million messages.
-- The release before walks the new index as it did the old one, which the next file drops.

DROP INDEX CONCURRENTLY IF EXISTS messages_window_idx;
CREATE INDEX CONCURRENTLY messages_window_idx ON messages (context_id, cumulative_tokens, version);

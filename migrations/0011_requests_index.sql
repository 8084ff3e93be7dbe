-- migrate: no-transaction
-- The newest user message of a history: windows whose policy keeps the request look for it.
--
-- In a long loop of tool calls it lies far behind. Reads and writes go on while the index is built, which takes half a
-- second per million messages, and 40 bytes for each message of a user (measured).

DROP INDEX CONCURRENTLY IF EXISTS messages_requests_idx;
CREATE INDEX CONCURRENTLY messages_requests_idx ON messages (context_id, version) WHERE role = 'user';

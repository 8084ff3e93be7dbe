-- Idempotency keys: what a client said once, so that saying it again changes nothing.
--
-- A key is claimed by the same statement that stores what it stands for, so both are there or neither is; of two
-- requests in flight at once the second breaks the primary key and stores nothing. A key lives as long as its context.
-- The fingerprint is a SHA-256 of the payload. New tables: take no lock that anything could wait for.

CREATE TABLE append_keys (
    context_id uuid NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    first_version bigint NOT NULL,
    last_version bigint NOT NULL,

    CONSTRAINT append_keys_pkey PRIMARY KEY (context_id, key),
    CONSTRAINT append_keys_context_id_fkey FOREIGN KEY (context_id) REFERENCES contexts (id) ON DELETE CASCADE,
    CONSTRAINT append_keys_versions_check CHECK (first_version > 0 AND last_version >= first_version)
);

CREATE TABLE context_keys (
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    context_id uuid NOT NULL,

    CONSTRAINT context_keys_pkey PRIMARY KEY (key),
    CONSTRAINT context_keys_context_id_fkey FOREIGN KEY (context_id) REFERENCES contexts (id) ON DELETE CASCADE
);

-- For the cascade: deleting a context must not scan the table.
CREATE INDEX context_keys_context_id_idx ON context_keys (context_id);

-- The trees over the logs, which outsiders check: what of each log waits for a checkpoint, the trees as far as they are
-- checkpointed, and the fleet's log, whose leaves are those checkpoints.

-- Appends mark here what has grown, with the size that they write anyway. Whoever signs clears the mark in a short
-- transaction that waits for no lock, so that neither can wait for the other in a circle.
ALTER TABLE logs
    -- Not after the first event without a checkpoint came; null where each has one.
    ADD COLUMN waiting_since timestamptz,
    -- Place among the logs that wait; later than now while an alarm keeps this one from being looked at.
    ADD COLUMN queued_at timestamptz,
    -- Why no checkpoint can be signed.
    ADD COLUMN alarm text,
    ADD CHECK ((waiting_since IS NULL) = (queued_at IS NULL));
-- Logs that are idle aren't in it, however many there are.
CREATE INDEX logs_queued ON logs (queued_at) WHERE queued_at IS NOT NULL;
UPDATE logs SET waiting_since = coalesce((SELECT min(received_at) FROM events), clock_timestamp()), queued_at = clock_timestamp()
WHERE size > 0;

-- Each log's tree as far as it is checkpointed. A table of its own, so that appends never wait for whoever signs.
CREATE TABLE trees (
    tenant_id uuid PRIMARY KEY,
    -- Number of leaves.
    size bigint NOT NULL,
    root bytea NOT NULL,
    -- The newest checkpoint, a signed note.
    checkpoint text NOT NULL,
    signed_at timestamptz NOT NULL,
    -- Place of its text in the fleet's log.
    fleet_index bigint NOT NULL
) WITH (fillfactor = 70);
SELECT protect_tenant_table('trees');

-- The trees' hashes in tiles (C2SP tlog-tiles, height 8), full ones and the last of each level. They stay when events go, so
-- that proofs of earlier can be made and held against each other for ever.
CREATE TABLE tiles (
    tenant_id uuid NOT NULL,
    level smallint NOT NULL,
    index bigint NOT NULL,
    -- Up to 256 hashes of 32 bytes.
    hashes bytea NOT NULL,
    PRIMARY KEY (tenant_id, level, index)
);
-- Hashes can't be compressed.
ALTER TABLE tiles ALTER COLUMN hashes SET STORAGE EXTERNAL;
SELECT protect_tenant_table('tiles');

-- The log of all tenants' checkpoints, as far as it is checkpointed itself: one row, locked by whoever signs.
CREATE TABLE fleet_log (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    size bigint NOT NULL,
    root bytea NOT NULL,
    -- Its newest checkpoint; null before the first.
    checkpoint text
);
INSERT INTO fleet_log (size, root) VALUES (0, sha256(''));

-- Its entries: the text of each checkpoint of a tenant's log, without the signature.
CREATE TABLE fleet_entries (
    index bigint PRIMARY KEY,
    entry text NOT NULL
);

CREATE TABLE fleet_tiles (
    level smallint NOT NULL,
    index bigint NOT NULL,
    hashes bytea NOT NULL,
    PRIMARY KEY (level, index)
);
ALTER TABLE fleet_tiles ALTER COLUMN hashes SET STORAGE EXTERNAL;

-- Whoever serves a tenant reads what proves its own log, and changes nothing of it. The entries name tenants: they are for
-- the platform alone. What was signed is never removed, and no entry changes.
REVOKE INSERT, UPDATE, DELETE ON trees, tiles FROM audit_app;
REVOKE DELETE ON trees, tiles FROM audit_platform;
GRANT SELECT ON fleet_log, fleet_tiles TO audit_app;
GRANT SELECT, UPDATE ON fleet_log TO audit_platform;
GRANT SELECT, INSERT, UPDATE ON fleet_tiles TO audit_platform;
GRANT SELECT, INSERT ON fleet_entries TO audit_platform;

-- How far the log has the service's feed: one row, locked by whichever replica hands on.
CREATE TABLE relay (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    position bigint NOT NULL
);
INSERT INTO relay (position) VALUES (0);
SELECT share_table('relay');

-- Streams that the log doesn't take at present, and the number of each from which it has to be handed on. All others go on.
CREATE TABLE relay_held (
    tenant_id uuid PRIMARY KEY,
    from_n bigint NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    tried_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
SELECT protect_tenant_table('relay_held');

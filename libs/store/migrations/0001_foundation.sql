-- What every service's schema holds besides its own tables. Runs as the schema's owner, whose search_path is the schema;
-- the roles <schema>_owner, <schema>_app and <schema>_platform exist before.

-- Puts the second and third wall around a table: the application sees the rows of the transaction's tenant only, and none
-- where no tenant is set (nullif: a reused connection holds the empty string, not null). FORCE binds the owner too, who
-- therefore has a policy of its own; without it a backfill would change nothing, silently.
CREATE FUNCTION protect_tenant_table(t regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    service text := current_schema();
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', t);
    EXECUTE format(
        'CREATE POLICY tenant ON %s TO %I USING (tenant_id = nullif(current_setting(''tenantry.tenant_id'', true), '''')::uuid)',
        t, service || '_app');
    EXECUTE format('CREATE POLICY platform ON %s TO %I USING (true)', t, service || '_platform');
    EXECUTE format('CREATE POLICY owner ON %s TO %I USING (true)', t, service || '_owner');
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO %I, %I', t, service || '_app', service || '_platform');
END
$$;

-- Opens a table that belongs to no tenant to both roles. Each call stands in the reviewed list of the catalogue test.
CREATE FUNCTION share_table(t regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    service text := current_schema();
BEGIN
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO %I, %I', t, service || '_app', service || '_platform');
END
$$;

-- The last number that each tenant's outbox gave. Updated last in a change, it makes numbers gapless and puts them in the
-- order of commit. The nil tenant is the platform's own stream.
CREATE TABLE outbox_counter (
    tenant_id uuid PRIMARY KEY,
    n bigint NOT NULL,
    at timestamptz NOT NULL
);
SELECT protect_tenant_table('outbox_counter');

-- The event of each change, written in the change's transaction.
CREATE TABLE outbox (
    tenant_id uuid NOT NULL,
    n bigint NOT NULL,
    event_id uuid NOT NULL,
    at timestamptz NOT NULL,
    action text NOT NULL,
    event jsonb NOT NULL,
    -- Drawn at insert: puts a cause before its effect inside one batch of numbering. Never a cursor, because commits
    -- overtake each other.
    drawn bigint GENERATED ALWAYS AS IDENTITY,
    -- Place in the service's feed, given after commit.
    feed_n bigint,
    PRIMARY KEY (tenant_id, n)
);
CREATE UNIQUE INDEX outbox_feed_n ON outbox (feed_n) WHERE feed_n IS NOT NULL;
CREATE INDEX outbox_unnumbered ON outbox (drawn) WHERE feed_n IS NULL;
SELECT protect_tenant_table('outbox');

-- The head of the service's feed: one row, locked by whichever replica numbers.
CREATE TABLE feed_head (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    head bigint NOT NULL,
    -- Resume tokens below this are too old: their rows are gone.
    floor bigint NOT NULL,
    numbered_at timestamptz NOT NULL
);
INSERT INTO feed_head (head, floor, numbered_at) VALUES (0, 0, clock_timestamp());
SELECT share_table('feed_head');

-- The first answer to each request id, for replays; kept 24 hours.
CREATE TABLE request_record (
    tenant_id uuid NOT NULL,
    principal text NOT NULL,
    method text NOT NULL,
    request_id text NOT NULL,
    digest bytea NOT NULL,
    -- Null only inside the transaction that claims the id.
    answer jsonb,
    -- A secret of the answer, sealed with the service's key and bound to this record; readable for ten minutes.
    sealed bytea,
    sealed_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, principal, method, request_id)
);
CREATE INDEX request_record_created_at ON request_record (created_at);
SELECT protect_tenant_table('request_record');

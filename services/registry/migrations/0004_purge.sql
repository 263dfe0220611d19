-- Purges: what is under way, and what is held of a tenant that is gone.

-- Set from the start of a purge on; the tenant is deleted then too.
ALTER TABLE tenants ADD COLUMN purge_started_at timestamptz;
-- Deleted tenants whose time has come.
CREATE INDEX tenants_by_purge_at ON tenants (purge_at) WHERE purge_at IS NOT NULL AND purge_started_at IS NULL;

-- The purges under way, each worked off by whichever replica takes it.
CREATE TABLE purges (
    tenant_id uuid PRIMARY KEY,
    started_at timestamptz NOT NULL,
    -- Who started it, and from where, for the event that ends it: {"actor", "origin"}.
    started_by jsonb NOT NULL,
    -- What each service had, and when it acknowledged that nothing is left: [{"service", "counts", "acknowledged_at"}].
    services jsonb NOT NULL,
    -- When a replica may take it up: now, after a failure, or when the replica that has it is taken for dead.
    due_at timestamptz NOT NULL,
    -- Turns that came to nothing, one after the other.
    failures integer NOT NULL
);
CREATE INDEX purges_due_at ON purges (due_at);
SELECT protect_tenant_table('purges');

-- What is held of a purged tenant, for good, so that nobody gets its id again; its slugs stay in their own table. Belongs to
-- no tenant any more, and holds nothing of any person.
CREATE TABLE purged_tenants (
    id uuid PRIMARY KEY,
    project text NOT NULL REFERENCES projects (key),
    purged_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
SELECT share_table('purged_tenants');

-- An id is drawn at random, or given by whoever brings a tenant from elsewhere: in either case not one that was another's.
CREATE FUNCTION refuse_purged_tenant() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM purged_tenants WHERE id = NEW.tenant_id) THEN
        RAISE EXCEPTION 'tenant % was purged', NEW.tenant_id USING ERRCODE = 'unique_violation', CONSTRAINT = 'tenants_purged';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER refuse_purged_tenant BEFORE INSERT ON tenants FOR EACH ROW EXECUTE FUNCTION refuse_purged_tenant();

-- Custom domains: names in the DNS that name a tenant at the gateway, once a TXT record shows them to be the tenant's.

CREATE TABLE domains (
    tenant_id uuid NOT NULL,
    -- ASCII form, lower case.
    name text NOT NULL,
    id uuid NOT NULL,
    status text NOT NULL CHECK (status IN ('pending', 'verified', 'failing')),
    -- What the TXT record has to hold. Random for each tenant and domain, so that what one tenant published shows nothing
    -- for another.
    token text NOT NULL,
    created_at timestamptz NOT NULL,
    verified_at timestamptz,
    -- Since when the record of a verified domain can't be found.
    failing_since timestamptz,
    checked_at timestamptz,
    next_check_at timestamptz,
    problem text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, name),
    CONSTRAINT domains_failing CHECK ((status = 'failing') = (failing_since IS NOT NULL))
);
-- Spans tenants on purpose: one domain names one tenant.
CREATE UNIQUE INDEX domains_in_use ON domains (name) WHERE status <> 'pending';
CREATE INDEX domains_next_check_at ON domains (next_check_at) WHERE next_check_at IS NOT NULL;
SELECT protect_tenant_table('domains');

-- The domains that name the tenant now, by name: what the gateway's followers need.
ALTER TABLE tenants ADD COLUMN domains text[] NOT NULL DEFAULT '{}';

-- Programs of a tenant as principals of their own, with keys that come and go.

CREATE TABLE service_accounts (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL,
    permissions bigint NOT NULL,
    disabled boolean NOT NULL DEFAULT false,
    -- Who made it, as user:<id>, api_key:<id> or service_account:<id>.
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT service_accounts_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT service_accounts_name UNIQUE (tenant_id, name)
);
SELECT protect_tenant_table('service_accounts');

-- No foreign key: a revoked key outlives its account, and one whose account is not there is refused.
ALTER TABLE api_keys ADD COLUMN service_account_id uuid;
CREATE INDEX api_keys_service_account ON api_keys (tenant_id, service_account_id) WHERE service_account_id IS NOT NULL;

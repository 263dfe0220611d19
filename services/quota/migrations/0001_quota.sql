-- Limits that stand apart from the plan's: one for each resource type of a tenant.
CREATE TABLE limit_overrides (
    tenant_id uuid NOT NULL,
    resource_type text NOT NULL,
    override_id uuid NOT NULL,
    "limit" bigint NOT NULL CHECK ("limit" >= 0),
    reset_period text NOT NULL,
    -- Whether what the tenants below use counts too.
    shared boolean NOT NULL,
    reason text NOT NULL,
    expires_at timestamptz,
    created_at timestamptz NOT NULL,
    created_by jsonb NOT NULL,
    -- Whether an operator set it: then only operators take it away.
    by_operator boolean NOT NULL,
    PRIMARY KEY (tenant_id, resource_type)
);
CREATE INDEX limit_overrides_expiry ON limit_overrides (expires_at) WHERE expires_at IS NOT NULL;
SELECT protect_tenant_table('limit_overrides');

-- The ledger: an account for each tenant, resource type and window. What is granted to a counter in Redis stands here before the
-- counter hears of it; what counts at once is counted here alone (gauges, and what nothing bounds).
CREATE TABLE accounts (
    tenant_id uuid NOT NULL,
    resource_type text NOT NULL,
    reset_period text NOT NULL,
    window_start timestamptz NOT NULL,
    -- Null for what never resets.
    window_end timestamptz,
    -- The tenant at the top of the tree, by whose name Redis keeps the counters of the tree together.
    root_id uuid NOT NULL,
    -- Most that is admitted, as far as this account was told; null where nothing bounds it.
    "limit" bigint,
    -- Whether it binds nobody any more: the limit is counted over another period now.
    superseded boolean NOT NULL,
    -- Used in openings that have ended, and of what is counted here alone.
    settled bigint NOT NULL CHECK (settled >= 0),
    -- The opening of the counter that is spent from; null where none is.
    opening text,
    -- Whether something may be spent of it that is used without being committed here.
    fast boolean NOT NULL,
    -- Granted to the opening, and of that committed as used.
    granted bigint NOT NULL,
    committed bigint NOT NULL,
    PRIMARY KEY (tenant_id, resource_type, reset_period, window_start),
    -- What is acknowledged never exceeds what was granted, whatever a counter says.
    CHECK (committed BETWEEN 0 AND granted)
);
CREATE INDEX accounts_open ON accounts (window_end) WHERE opening IS NOT NULL;
CREATE INDEX accounts_closed ON accounts (window_end) WHERE opening IS NULL;
SELECT protect_tenant_table('accounts');

-- What was used, each time once for its request id.
CREATE TABLE usage_log (
    tenant_id uuid NOT NULL,
    -- Who told of it, and by which id.
    principal text NOT NULL,
    request_id text NOT NULL,
    usage_id uuid NOT NULL,
    digest bytea NOT NULL,
    resource_type text NOT NULL,
    amount bigint NOT NULL,
    description text NOT NULL,
    recorded_at timestamptz NOT NULL,
    answer jsonb NOT NULL,
    PRIMARY KEY (tenant_id, principal, request_id)
);
CREATE INDEX usage_log_time ON usage_log (tenant_id, recorded_at, usage_id);
CREATE INDEX usage_log_age ON usage_log USING brin (recorded_at);
SELECT protect_tenant_table('usage_log');

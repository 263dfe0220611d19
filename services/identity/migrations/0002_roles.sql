-- Roles that a tenant defines for itself, beside the built-in ones. Held in that tenant alone.
CREATE TABLE roles (
    tenant_id uuid NOT NULL,
    key text NOT NULL,
    -- What events call it, and what a cached holder of it is void by.
    id uuid NOT NULL,
    name text NOT NULL,
    description text NOT NULL,
    -- Bitmaps; bit numbers are those of tenantry-core. What is allowed in the tenant, and in its descendants.
    permissions bigint NOT NULL CHECK (permissions <> 0),
    inherited bigint NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT roles_pkey PRIMARY KEY (tenant_id, key)
);
SELECT protect_tenant_table('roles');

-- Projects, tenants and the slugs that name them. Foundation (outbox, feed, request records) stands before.

-- The products whose tenants these are. Belongs to no tenant.
CREATE TABLE projects (
    id uuid PRIMARY KEY,
    key text NOT NULL CONSTRAINT projects_key UNIQUE,
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
SELECT share_table('projects');
INSERT INTO projects (id, key, name) VALUES ('01900000-0000-7000-8000-000000000001', 'default', 'Default');

-- One row per tenant, which is its own owner: tenant_id is its identifier.
CREATE TABLE tenants (
    tenant_id uuid PRIMARY KEY,
    project text NOT NULL REFERENCES projects (key),
    name text NOT NULL,
    slug text NOT NULL,
    status text NOT NULL CHECK (status IN ('trial', 'active', 'suspended', 'deleted')),
    -- What it was when it was suspended, and when it was deleted, to return to.
    suspended_from text CHECK (suspended_from IN ('trial', 'active')),
    deleted_from text CHECK (deleted_from IN ('trial', 'active', 'suspended')),
    plan text NOT NULL,
    parent_id uuid,
    external_id text,
    email text NOT NULL,
    billing_email text NOT NULL,
    contact_phone text NOT NULL,
    timezone text NOT NULL,
    locale text NOT NULL,
    region text NOT NULL,
    trial_ends_at timestamptz,
    labels jsonb NOT NULL,
    metadata jsonb NOT NULL,
    suspend_reason text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,
    purge_at timestamptz,
    -- Counts the changes; the etag and what followers compare.
    version bigint NOT NULL
);
SELECT protect_tenant_table('tenants');

-- Spans tenants on purpose: an external id names one tenant of a project.
CREATE UNIQUE INDEX tenants_external_id ON tenants (project, external_id) WHERE external_id IS NOT NULL;
-- Lists of a project, in each order, and with the two filters that people use most.
CREATE INDEX tenants_by_creation ON tenants (project, created_at, tenant_id);
CREATE INDEX tenants_by_update ON tenants (project, updated_at, tenant_id);
CREATE INDEX tenants_by_name ON tenants (project, name, tenant_id);
CREATE INDEX tenants_by_slug ON tenants (project, slug, tenant_id);
CREATE INDEX tenants_by_status_plan_name ON tenants (project, status, plan, name, tenant_id);
CREATE INDEX tenants_by_status_plan_creation ON tenants (project, status, plan, created_at, tenant_id);
CREATE INDEX tenants_by_parent ON tenants (parent_id, tenant_id) WHERE parent_id IS NOT NULL;

-- Every slug that ever named a tenant of a project. A freed one stays here, in quarantine.
CREATE TABLE slugs (
    tenant_id uuid NOT NULL,
    project text NOT NULL REFERENCES projects (key),
    slug text NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    freed_at timestamptz,
    PRIMARY KEY (tenant_id, project, slug)
);
-- Spans tenants on purpose: this is what makes a slug one tenant's.
CREATE UNIQUE INDEX slugs_project_slug ON slugs (project, slug);
SELECT protect_tenant_table('slugs');

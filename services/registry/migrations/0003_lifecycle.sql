-- The whole life of a tenant: set up, in use, suspended (alone or with all below a tenant), archived, deleted; and what
-- keeps one from being deleted.

ALTER TABLE tenants
    DROP CONSTRAINT tenants_status_check,
    DROP CONSTRAINT tenants_suspended_from_check,
    DROP CONSTRAINT tenants_deleted_from_check,
    -- The tenant above whose cascade suspended it: what a resume with cascade brings back.
    ADD COLUMN suspended_by uuid,
    -- What it was when it was archived, and when that was.
    ADD COLUMN archived_from text,
    ADD COLUMN archived_at timestamptz,
    ADD CONSTRAINT tenants_status_check
        CHECK (status IN ('provisioning', 'trial', 'active', 'suspended', 'archived', 'deleted')),
    ADD CONSTRAINT tenants_suspended_from_check CHECK (suspended_from IN ('trial', 'active')),
    ADD CONSTRAINT tenants_archived_from_check CHECK (archived_from IN ('trial', 'active', 'suspended')),
    ADD CONSTRAINT tenants_deleted_from_check
        CHECK (deleted_from IN ('provisioning', 'trial', 'active', 'suspended', 'archived'));

-- Trials in the order of their ends: who looks after them reads the first ones only.
CREATE INDEX tenants_by_trial_end ON tenants (trial_ends_at) WHERE status = 'trial';

-- What keeps a tenant from being deleted, each for someone who asked for it. A row is gone once its hold is released;
-- events tell of both. The reference keeps the row of a held tenant whatever tries to remove it.
CREATE TABLE legal_holds (
    tenant_id uuid NOT NULL CONSTRAINT legal_holds_tenant REFERENCES tenants (tenant_id),
    hold_id uuid NOT NULL,
    holder text NOT NULL,
    reason text NOT NULL,
    -- Who placed it: kind of principal, its id and name.
    placed_by jsonb NOT NULL,
    placed_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, hold_id)
);
SELECT protect_tenant_table('legal_holds');

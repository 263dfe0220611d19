-- Plans of projects and their versions. A project begins with those of the catalogue file.

CREATE TABLE plans (
    id uuid PRIMARY KEY,
    project text NOT NULL REFERENCES projects (key),
    -- The newest version.
    version integer NOT NULL,
    -- What the catalogue file said of it when it last was loaded with something new; null for a plan that it never named.
    -- Only where the file says something else than this does it make a version.
    in_file jsonb,
    created_at timestamptz NOT NULL
);
CREATE INDEX plans_by_project ON plans (project, created_at, id);
SELECT share_table('plans');

-- What each version says, for ever: tenants are on one, and past events and bills refer to them.
CREATE TABLE plan_versions (
    plan_id uuid NOT NULL REFERENCES plans (id),
    version integer NOT NULL CHECK (version >= 1),
    definition jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (plan_id, version)
);
SELECT share_table('plan_versions');
REVOKE UPDATE, DELETE ON plan_versions FROM registry_app, registry_platform;
-- A plan stays as long as tenants may be on it.
REVOKE DELETE ON plans FROM registry_app, registry_platform;

-- The present keys and aliases: each is one plan's in a project.
CREATE TABLE plan_names (
    project text NOT NULL,
    name text NOT NULL,
    plan_id uuid NOT NULL REFERENCES plans (id),
    CONSTRAINT plan_names_one PRIMARY KEY (project, name)
);
CREATE INDEX plan_names_by_plan ON plan_names (plan_id);
SELECT share_table('plan_names');

-- The version that a tenant is on. Tenants from before plans had versions are on the first, and so are those that a replica
-- of the release before makes during an upgrade.
ALTER TABLE tenants ADD COLUMN plan_version integer NOT NULL DEFAULT 1;

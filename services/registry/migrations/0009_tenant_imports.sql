-- Imports of many tenants from one file. Each is worked off row by row by whichever replica takes it.

CREATE TABLE tenant_imports (
    -- Whose it is: the platform's, for operators start them.
    tenant_id uuid NOT NULL,
    import_id uuid NOT NULL,
    project text NOT NULL REFERENCES projects (key),
    format text NOT NULL CHECK (format IN ('csv', 'ndjson')),
    dry_run boolean NOT NULL,
    state text NOT NULL
        CHECK (state IN ('pending', 'running', 'succeeded', 'partially_succeeded', 'failed', 'cancelled')),
    row_count integer NOT NULL,
    created_count integer NOT NULL,
    existing_count integer NOT NULL,
    refused_count integer NOT NULL,
    -- Who started it, and from where, for the events of what it makes: {"actor", "origin"}.
    started_by jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    finished_at timestamptz,
    -- When a replica may take it up: now, after a failure, or when the replica that has it is taken for dead.
    due_at timestamptz NOT NULL,
    -- Turns that came to nothing, one after the other.
    failures integer NOT NULL,
    PRIMARY KEY (tenant_id, import_id),
    CONSTRAINT tenant_imports_finished CHECK ((finished_at IS NULL) = (state IN ('pending', 'running')))
);
CREATE INDEX tenant_imports_due_at ON tenant_imports (due_at) WHERE finished_at IS NULL;
CREATE INDEX tenant_imports_finished_at ON tenant_imports (finished_at) WHERE finished_at IS NOT NULL;
SELECT protect_tenant_table('tenant_imports');

-- The rows of the file. What a row asks for is forgotten once it is decided.
CREATE TABLE tenant_import_rows (
    tenant_id uuid NOT NULL,
    import_id uuid NOT NULL,
    row_number integer NOT NULL,
    line integer NOT NULL,
    name text NOT NULL,
    -- As the file says; once the row's tenant is made, that tenant's.
    slug text NOT NULL,
    external_id text NOT NULL,
    draft jsonb,
    outcome text NOT NULL CHECK (outcome IN ('pending', 'created', 'exists', 'refused')),
    -- The tenant that was made or found. In a dry run the one that stands in for what would be made.
    made uuid,
    -- Where it stands: for rows of a dry run whose parent is only a stand-in.
    parent uuid,
    level integer,
    -- Why it was refused: {"reason", "message", "violations"}.
    refusal jsonb,
    PRIMARY KEY (tenant_id, import_id, row_number),
    CONSTRAINT tenant_import_rows_import FOREIGN KEY (tenant_id, import_id) REFERENCES tenant_imports ON DELETE CASCADE,
    CONSTRAINT tenant_import_rows_draft CHECK ((outcome = 'pending') = (draft IS NOT NULL))
);
CREATE INDEX tenant_import_rows_pending ON tenant_import_rows (tenant_id, import_id, row_number)
    WHERE outcome = 'pending';
-- What a row may not repeat, or may stand below.
CREATE INDEX tenant_import_rows_slug ON tenant_import_rows (tenant_id, import_id, slug) WHERE outcome = 'created';
CREATE INDEX tenant_import_rows_external_id ON tenant_import_rows (tenant_id, import_id, external_id)
    WHERE outcome = 'created' AND external_id <> '';
CREATE INDEX tenant_import_rows_parent ON tenant_import_rows (tenant_id, import_id, parent)
    WHERE outcome = 'created' AND parent IS NOT NULL;
SELECT protect_tenant_table('tenant_import_rows');

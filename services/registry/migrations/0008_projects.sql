-- What can be changed of a project.
ALTER TABLE projects
    -- Whether any signed-in user may make a tenant in it.
    ADD COLUMN sign_up text NOT NULL DEFAULT 'open' CHECK (sign_up IN ('open', 'closed')),
    ADD COLUMN updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Counts the changes; the etag.
    ADD COLUMN version bigint NOT NULL DEFAULT 1;
UPDATE projects SET updated_at = created_at;

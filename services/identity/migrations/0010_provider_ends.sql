-- The end of all sessions that a provider began, however many they are: one row makes them void at once, and their own rows
-- follow in batches. Then this one goes.
CREATE TABLE provider_ends (
    provider_id uuid PRIMARY KEY,
    -- Sessions that began until then are void.
    at timestamptz NOT NULL
);
SELECT share_table('provider_ends');

-- What a batch looks for.
CREATE INDEX sessions_of_provider ON sessions (provider_id, id) WHERE provider_id IS NOT NULL AND ended_at IS NULL;
DROP INDEX sessions_provider_id;

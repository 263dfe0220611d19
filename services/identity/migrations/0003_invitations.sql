-- Invitations to join a tenant, by one-time links.

CREATE TABLE invitations (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    email text NOT NULL CHECK (email = lower(email)),
    roles text[] NOT NULL CHECK (cardinality(roles) > 0),
    -- SHA-256 of the newest link's token, which has 256 random bits. The token itself is in the mail alone.
    hash bytea NOT NULL,
    -- Who sent the newest link, as user:<id> or api_key:<id>, and that user's address. Their right is looked at again when
    -- the link is used.
    invited_by text NOT NULL,
    invited_by_email text NOT NULL,
    created_at timestamptz NOT NULL,
    sent_at timestamptz NOT NULL,
    times_sent integer NOT NULL,
    expires_at timestamptz NOT NULL,
    accepted_at timestamptz,
    accepted_by uuid,
    -- Also set where another invitation took the place of one that had expired: then it isn't before the end.
    revoked_at timestamptz,
    CONSTRAINT invitations_pkey PRIMARY KEY (tenant_id, id),
    CHECK (num_nonnulls(accepted_at, revoked_at) <= 1),
    CHECK (num_nonnulls(accepted_at, accepted_by) <> 1)
);
-- One open invitation for each address, also when two are made at once.
CREATE UNIQUE INDEX invitations_open ON invitations (tenant_id, email) WHERE accepted_at IS NULL AND revoked_at IS NULL;
-- Pages of those that are open.
CREATE INDEX invitations_open_id ON invitations (tenant_id, id) WHERE accepted_at IS NULL AND revoked_at IS NULL;
-- Mails to an address lately.
CREATE INDEX invitations_sent ON invitations (tenant_id, email, sent_at);
SELECT protect_tenant_table('invitations');

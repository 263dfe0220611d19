-- Mails that wait to be sent. The row is written in the transaction of the change that the mail tells of, and goes once the
-- mail went: whatever breaks in between, one replica or another sends it, at least once.
CREATE TABLE mails (
    -- Nil where it is the platform's, as to someone who forgot a password.
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    -- What it tells of: an invitation or a user. A newer mail about the same takes the place of one that still waits.
    about uuid NOT NULL,
    -- Which letter it is, for logs.
    kind text NOT NULL,
    -- Address, words and one-time link, sealed with the service's key and bound to this row.
    sealed bytea NOT NULL,
    tries integer NOT NULL DEFAULT 0,
    -- When a replica takes it up. Who does moves this ahead, so that no other takes it meanwhile.
    next_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- From then on it is of no use, and goes unsent.
    ends_at timestamptz NOT NULL,
    CONSTRAINT mails_pkey PRIMARY KEY (tenant_id, id)
);
CREATE INDEX mails_about ON mails (tenant_id, about);
CREATE INDEX mails_next_at ON mails (next_at);
CREATE INDEX mails_ends_at ON mails (ends_at);
SELECT protect_tenant_table('mails');

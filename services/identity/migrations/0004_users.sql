-- What people see of their sessions, how guessing is slowed down, and how a forgotten password is replaced.

-- Where a session began. The network is what a client can't change at will: see domain/lockout.rs.
ALTER TABLE sessions
    ADD COLUMN ip text NOT NULL DEFAULT '',
    ADD COLUMN user_agent text NOT NULL DEFAULT '',
    ADD COLUMN network text NOT NULL DEFAULT '';
-- Pages of a person's sessions, newest first: ids are in the order of time.
CREATE INDEX sessions_user_id ON sessions (user_id, id);
DROP INDEX sessions_user;

-- Failed attempts lately, as leaking buckets: each attempt adds a drop, and time takes them away one by one. An account is a
-- keyed hash of the address, whether or not anyone has it; a row says nothing of whom. Empty ones are swept.
CREATE TABLE attempts (
    -- Empty for all accounts of the network.
    account bytea NOT NULL,
    -- Empty for all networks of the account.
    network text NOT NULL,
    -- When the bucket will be empty.
    empty_at timestamptz NOT NULL,
    -- Until when attempts are refused without a look at what they bring.
    locked_until timestamptz,
    CONSTRAINT attempts_pkey PRIMARY KEY (account, network)
);
CREATE INDEX attempts_empty_at ON attempts (empty_at);
SELECT share_table('attempts');

-- One-time links that replace a password: one for each person, so that only the newest works.
CREATE TABLE password_resets (
    user_id uuid PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    -- SHA-256 of the token, which has 256 random bits.
    hash bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    -- When this link was used.
    used_at timestamptz,
    -- The network that last used a link of this person: it knows the person's mail, as one that signed in knows the password.
    network text NOT NULL DEFAULT '',
    CONSTRAINT password_resets_hash UNIQUE (hash)
);
CREATE INDEX password_resets_expires_at ON password_resets (expires_at);
SELECT share_table('password_resets');

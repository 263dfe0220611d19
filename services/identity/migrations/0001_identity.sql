-- Identity's own tables. Runs after the foundation, as identity_owner.

-- People. Global: one person may belong to tenants of several projects.
CREATE TABLE users (
    id uuid PRIMARY KEY,
    -- Lower case, so that one address is one user however it is typed.
    email text NOT NULL CONSTRAINT users_email UNIQUE CHECK (email = lower(email)),
    name text NOT NULL,
    -- argon2id in PHC form; null for who can't sign in by password.
    password_hash text,
    -- The tenant whose people chose the password; null where the platform did. The address isn't known to be the person's,
    -- so such a password reaches that tenant and what lies below it, and nothing else that the address is added to.
    password_of uuid,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- For the copies of the address in other tables, which pages are read by.
    CONSTRAINT users_id_email UNIQUE (id, email)
);
SELECT share_table('users');

-- Users with permissions on the platform.
CREATE TABLE operators (
    user_id uuid PRIMARY KEY,
    email text NOT NULL CONSTRAINT operators_email UNIQUE,
    -- Bitmap; bit numbers are those of tenantry-core.
    permissions bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT operators_user FOREIGN KEY (user_id, email) REFERENCES users (id, email) ON UPDATE CASCADE
);
SELECT share_table('operators');

-- Signed-in sessions of users. A refresh token holds the session's family secret, which stays, and a secret that each
-- refresh replaces: the right family with another secret is a token that was used before.
CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id),
    -- The tenant that the session is for, where one was chosen at login.
    tenant_id uuid,
    family_hash bytea NOT NULL,
    refresh_hash bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    refreshed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    ended_at timestamptz
);
CREATE INDEX sessions_user ON sessions (user_id);
CREATE INDEX sessions_expires_at ON sessions (expires_at);
SELECT share_table('sessions');

-- Who belongs to a tenant, and with which roles.
CREATE TABLE memberships (
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL,
    email text NOT NULL,
    -- The name by which this tenant knows the user; another tenant's is not seen.
    name text NOT NULL,
    roles text[] NOT NULL CHECK (cardinality(roles) > 0),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT memberships_pkey PRIMARY KEY (tenant_id, user_id),
    CONSTRAINT memberships_user FOREIGN KEY (user_id, email) REFERENCES users (id, email) ON UPDATE CASCADE
);
-- Pages of a tenant's members.
CREATE UNIQUE INDEX memberships_email ON memberships (tenant_id, email);
-- The tenants of a user.
CREATE INDEX memberships_user_id ON memberships (user_id);
SELECT protect_tenant_table('memberships');

-- Credentials of programs. The nil tenant holds those of the platform.
CREATE TABLE api_keys (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL,
    prefix text NOT NULL,
    -- SHA-256 of the whole secret, which has 256 random bits: a slow hash would add nothing.
    hash bytea NOT NULL,
    permissions bigint NOT NULL,
    -- Who made it, as user:<id> or api_key:<id>.
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz,
    revoked_at timestamptz,
    CONSTRAINT api_keys_pkey PRIMARY KEY (tenant_id, id)
);
-- The gateway knows a key's id before its tenant.
CREATE INDEX api_keys_id ON api_keys (id);
SELECT protect_tenant_table('api_keys');

-- One-time tokens that make the first operator.
CREATE TABLE bootstrap_tokens (
    hash bytea PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
SELECT share_table('bootstrap_tokens');

-- External sign-in by OpenID Connect: whom a tenant or a project lets speak for its people, and who they are.

-- A user has an address by which it signs in with a password, or none: then an issuer and a subject are what it is known
-- by. What an issuer says of an address is no address of the platform's, so it never stands in this table.
ALTER TABLE users
    DROP CONSTRAINT users_email,
    ADD CONSTRAINT users_password_needs_email CHECK (email <> '' OR password_hash IS NULL);
-- Look-ups say email <> '' too, else a plan for any address can't use it.
CREATE UNIQUE INDEX users_email ON users (email) WHERE email <> '';

-- Pages of a tenant's members: some have no address.
DROP INDEX memberships_email;
CREATE INDEX memberships_email ON memberships (tenant_id, email, user_id);

-- Who a user is at an issuer. One subject of one issuer is one user, whichever provider it came through.
CREATE TABLE user_identities (
    issuer text NOT NULL,
    subject text NOT NULL,
    user_id uuid NOT NULL REFERENCES users (id),
    -- What the issuer says that it verified, at the last sign-in; for people to read, never to find a user by.
    claimed_email text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT user_identities_pkey PRIMARY KEY (issuer, subject)
);
CREATE INDEX user_identities_user_id ON user_identities (user_id);
SELECT share_table('user_identities');

-- OpenID providers. The nil tenant holds those of projects.
CREATE TABLE identity_providers (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    -- Key of the project whose tenants it signs in to; empty for a tenant's own.
    project text NOT NULL,
    name text NOT NULL,
    issuer text NOT NULL,
    client_id text NOT NULL,
    -- Sealed with the service's key for this very row; null for a public client.
    client_secret bytea,
    scopes text[] NOT NULL,
    redirect_uris text[] NOT NULL CHECK (cardinality(redirect_uris) > 0),
    -- Domains of verified addresses that are let in; all where there is none.
    email_domains text[] NOT NULL,
    -- Roles of a membership that the first sign-in makes; none is made where there is none.
    just_in_time_roles text[] NOT NULL,
    enabled boolean NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT identity_providers_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT identity_providers_client UNIQUE (tenant_id, project, issuer, client_id),
    CHECK ((tenant_id = '00000000-0000-0000-0000-000000000000') = (project <> '')),
    -- A project's provider speaks for people of many tenants: it makes members of none.
    CHECK (project = '' OR just_in_time_roles = '{}')
);
SELECT protect_tenant_table('identity_providers');

-- Sign-ins that began and didn't end yet: each ends once, on any replica. No tenant is known before its row is found.
CREATE TABLE external_sign_ins (
    state_hash bytea PRIMARY KEY,
    -- The provider's tenant; nil for one of a project.
    provider_tenant_id uuid NOT NULL,
    provider_id uuid NOT NULL,
    -- Hash of what only the browser that began it holds.
    holder_hash bytea NOT NULL,
    -- Nonce and PKCE verifier, sealed for this row.
    sealed bytea NOT NULL,
    redirect_uri text NOT NULL,
    -- The tenant that the session is to be for, where one was chosen.
    session_tenant_id uuid,
    expires_at timestamptz NOT NULL
);
CREATE INDEX external_sign_ins_expires_at ON external_sign_ins (expires_at);
SELECT share_table('external_sign_ins');

-- What began a session, where no password did. Its reach ends with the provider's: at one tenant and what lies below it,
-- or at the tenants of one project.
ALTER TABLE sessions
    ADD COLUMN provider_id uuid,
    ADD COLUMN only_tenant_id uuid,
    ADD COLUMN only_project text,
    ADD CONSTRAINT sessions_reach CHECK (num_nonnulls(only_tenant_id, only_project) = num_nonnulls(provider_id));
CREATE INDEX sessions_provider_id ON sessions (provider_id) WHERE provider_id IS NOT NULL;

-- Users without an address whom people removed from a tenant: signing in doesn't make them members again, people do.
CREATE TABLE removed_members (
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL REFERENCES users (id),
    removed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT removed_members_pkey PRIMARY KEY (tenant_id, user_id)
);
SELECT protect_tenant_table('removed_members');

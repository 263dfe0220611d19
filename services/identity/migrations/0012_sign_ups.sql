-- Sign-ups: people who make a tenant of their own. The row comes first, so that whatever breaks between registry's part and
-- identity's, one replica or another brings it to its end. Of a person and not behind a tenant's wall: there is no tenant yet.
CREATE TABLE sign_ups (
    -- Chosen here, so that asking registry again is the same sign-up.
    tenant_id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id),
    -- The caller's id of the request, and the keyed digest of its body. Null where there was none, and of one that was
    -- refused, so that the same request may be tried again.
    request_id text,
    digest bytea,
    state text NOT NULL CHECK (state IN ('open', 'done', 'refused')),
    -- What was asked for, who asked, and from where: for registry, and for the events.
    asked jsonb NOT NULL,
    actor jsonb NOT NULL,
    origin jsonb NOT NULL,
    -- The tenant as the caller was told of it, encoded.
    answer bytea,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- When a replica looks at it by itself: an open one, or one whose refusal isn't certain yet. Null where it is over.
    look_at timestamptz,
    CONSTRAINT sign_ups_request UNIQUE (user_id, request_id),
    CHECK ((request_id IS NULL) = (digest IS NULL)),
    CHECK ((state = 'done') = (answer IS NOT NULL))
);
-- Those of a person lately.
CREATE INDEX sign_ups_user ON sign_ups (user_id, created_at);
CREATE INDEX sign_ups_look_at ON sign_ups (look_at) WHERE look_at IS NOT NULL;
CREATE INDEX sign_ups_created_at ON sign_ups (created_at);
SELECT share_table('sign_ups');

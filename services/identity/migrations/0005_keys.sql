-- Keys get a new secret while the one before goes on for a while, and show how much they are used.

ALTER TABLE api_keys
    ADD COLUMN rotated_at timestamptz,
    -- The secret before the present one, and until when it works.
    ADD COLUMN previous_hash bytea,
    ADD COLUMN previous_until timestamptz,
    ADD CONSTRAINT api_keys_previous CHECK ((previous_hash IS NULL) = (previous_until IS NULL));

-- Requests admitted with a key, by the hour. The newest row of a key stays, because it says when the key was last used.
CREATE TABLE api_key_uses (
    tenant_id uuid NOT NULL,
    api_key_id uuid NOT NULL,
    hour timestamptz NOT NULL,
    requests bigint NOT NULL,
    last_at timestamptz NOT NULL,
    CONSTRAINT api_key_uses_pkey PRIMARY KEY (tenant_id, api_key_id, hour),
    CONSTRAINT api_key_uses_api_key FOREIGN KEY (tenant_id, api_key_id) REFERENCES api_keys (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX api_key_uses_hour ON api_key_uses (hour);
SELECT protect_tenant_table('api_key_uses');

-- To manage operators is a permission of its own (bit 4); whoever could until now, by platform.tenants.manage (bit 0), still
-- can.
UPDATE operators SET permissions = permissions | (1 << 4) WHERE permissions & 1 = 1;
UPDATE api_keys SET permissions = permissions | (1 << 4)
WHERE tenant_id = '00000000-0000-0000-0000-000000000000' AND permissions & 1 = 1;

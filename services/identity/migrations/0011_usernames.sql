-- A name besides the address; one member's alone in the tenant.
ALTER TABLE memberships ADD COLUMN username text;
CREATE UNIQUE INDEX memberships_username ON memberships (tenant_id, username) WHERE username IS NOT NULL;

-- Pages of a user's tenants.
CREATE INDEX memberships_user_tenant ON memberships (user_id, tenant_id);
DROP INDEX memberships_user_id;

-- What a purge looks for by tenant in tables that belong to none.
CREATE INDEX sessions_tenant_id ON sessions (tenant_id) WHERE tenant_id IS NOT NULL;
CREATE INDEX sessions_only_tenant_id ON sessions (only_tenant_id) WHERE only_tenant_id IS NOT NULL;
CREATE INDEX users_password_of ON users (password_of) WHERE password_of IS NOT NULL;

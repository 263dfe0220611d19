-- Limits that a tenant's create asked for beside those of its plan: [{"resource_type", "limit"}]. Registry only keeps them, and
-- hands them on in the feed; the service that enforces limits makes them overrides.
ALTER TABLE tenants ADD COLUMN requested_limits jsonb NOT NULL DEFAULT '[]';

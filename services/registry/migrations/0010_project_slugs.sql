-- A project's key is a label in the subdomains of its tenants (<slug>.<project>.<base domain>). In the default project, whose
-- tenants live at <slug>.<base domain>, it is nobody's slug then: the platform has it, so that no tenant's subdomain stands
-- above those of another project, and none of the two makes way for the other, whoever comes first.
INSERT INTO slugs (tenant_id, project, slug)
SELECT '00000000-0000-0000-0000-000000000000', 'default', key FROM projects WHERE key <> 'default'
ON CONFLICT DO NOTHING;

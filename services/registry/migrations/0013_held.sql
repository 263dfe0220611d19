-- Whether a legal hold stands on the tenant, beside the holds themselves: who keeps something of it elsewhere learns of it by
-- the feed, where a change of the tenant is one of its row.
ALTER TABLE tenants ADD COLUMN held boolean NOT NULL DEFAULT false;
UPDATE tenants AS t SET held = true, version = version + 1
WHERE EXISTS (SELECT FROM legal_holds AS h WHERE h.tenant_id = t.tenant_id);

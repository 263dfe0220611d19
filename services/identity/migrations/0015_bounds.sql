-- How many mails a tenant had sent in each day (UTC): counted in the transaction of the change that a mail tells of. Days
-- before the newest go with the next mail.
CREATE TABLE mail_days (
    tenant_id uuid NOT NULL,
    day date NOT NULL,
    mails bigint NOT NULL,
    CONSTRAINT mail_days_pkey PRIMARY KEY (tenant_id, day)
);
SELECT protect_tenant_table('mail_days');

-- Counts a tenant's keys that may still work.
CREATE INDEX api_keys_unrevoked ON api_keys (tenant_id) WHERE revoked_at IS NULL;

-- Where in its tenant's log the last event of a source's stream is: what comes again is looked for from there, however much
-- others have added since. Of what was taken before this was written down, it is no farther on than the end of the log.
ALTER TABLE sources ADD COLUMN last_index bigint;
UPDATE sources AS s SET last_index = coalesce((SELECT size FROM logs AS l WHERE l.tenant_id = s.tenant_id), 0) - 1;
ALTER TABLE sources ALTER COLUMN last_index SET NOT NULL;

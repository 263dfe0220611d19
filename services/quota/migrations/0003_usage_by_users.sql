-- What users did, for who was active when. What programs did, which is most of the log, isn't in it. In the order of time: texts can't
-- be sought by order behind the wall of rows, because comparing them might leak them.
CREATE INDEX usage_log_users ON usage_log (tenant_id, occurred_at) INCLUDE (principal) WHERE principal LIKE 'user:%';

-- The ends of the logs of $1 events, behind position $2, the tenant $3's among them, whose tree is to be made; and the runs that
-- appending them would have put down, as the service's migration does for what was there before.
WITH sizes AS (
    SELECT $3::uuid AS tenant_id, $1 / 8 AS size
    UNION ALL SELECT bench.id('tenant', 0)::uuid, $1 / 8
    UNION ALL SELECT bench.id('tenant', part * 1000 + k)::uuid, ($1 / 8 - k + 999) / 1000
    FROM generate_series(2, 7) AS part, generate_series(0, 999) AS k
), ends AS (
    INSERT INTO audit.logs (tenant_id, size, waiting_since, queued_at)
    SELECT tenant_id, size, CASE tenant_id WHEN $3 THEN now() END, CASE tenant_id WHEN $3 THEN now() END
    FROM sizes WHERE size > 0 RETURNING tenant_id, size
), head AS (
    UPDATE audit.log_head SET position = $2::bigint + $1 RETURNING position
)
INSERT INTO audit.search_due (tenant_id, level, until)
SELECT tenant_id, 0, run * audit.search_span(0::smallint)
FROM (SELECT tenant_id, size FROM ends UNION ALL SELECT 'ffffffff-ffff-ffff-ffff-ffffffffffff', position + 1 FROM head) AS scopes,
     generate_series(1, size / audit.search_span(0::smallint)) AS run
ON CONFLICT DO NOTHING

-- What made-up events are put together from, each piece with the terms that an event with it is found by. The terms are the
-- service's own (services/audit/src/domain/terms.rs); a benchmark that finds nothing with them fails.
CREATE SCHEMA bench;

CREATE FUNCTION bench.term(fact text, value text) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT ('x' || encode(substring(sha256(convert_to(fact, 'UTF8') || '\x00'::bytea || convert_to(value, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint
$$;

-- An id that a number has.
CREATE FUNCTION bench.id(kind text, n bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT md5(kind || n)::uuid::text $$;

-- The words of a text, as terms.
CREATE FUNCTION bench.words(text) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(array_agg(bench.term('word', word)), '{}') FROM regexp_split_to_table($1, '[^[:alnum:]]+') AS word WHERE word <> ''
$$;

CREATE TABLE bench.actors AS
SELECT n, ARRAY[bench.term('actor', bench.id('actor', n)), bench.term('actor', 'user' || n || '@example.com')]
          || bench.words('user' || n || '@example.com') AS terms
FROM generate_series(0, 1999) AS n;

CREATE TABLE bench.actions AS
SELECT n, ARRAY[bench.term('event_type', kind || '.' || verb), bench.term('event_type', kind), bench.term('resource_type', kind)]
          || bench.words(kind || '.' || verb) AS terms
FROM generate_series(0, 39) AS n, LATERAL (SELECT
    (ARRAY['tenant', 'member', 'key', 'role', 'domain', 'invoice', 'device', 'report'])[1 + n % 8] AS kind,
    (ARRAY['updated', 'added', 'removed', 'read', 'rotated'])[1 + n / 8] AS verb) AS spelt;

CREATE TABLE bench.resources AS
SELECT n, ARRAY[bench.term('resource_id', bench.id('resource', n))] || bench.words(bench.id('resource', n)) AS terms
FROM generate_series(0, 99999) AS n;

CREATE TABLE bench.addresses AS
SELECT n, ARRAY[bench.term('ip_address', ip)] || bench.words(ip) AS terms
FROM generate_series(0, 4999) AS n, LATERAL (SELECT '10.' || n % 7 || '.' || n / 250 || '.' || n % 250 AS ip) AS spelt;

CREATE TABLE bench.agents AS
SELECT n, bench.words('client' || n % 5 || '/' || n % 3 || '.' || n || ' linux x86') AS terms FROM generate_series(0, 14) AS n;

CREATE TABLE bench.words AS
SELECT n, bench.term('word', 'word' || n) AS term FROM generate_series(0, 19999) AS n;

CREATE TABLE bench.outcomes AS
SELECT n, bench.term('outcome', CASE WHEN n = 0 THEN 'denied' WHEN n < 3 THEN 'failed' ELSE 'success' END) AS term
FROM generate_series(0, 199) AS n;

-- Rows as the service wrote them, for all else that an event has.
CREATE TABLE bench.templates AS
SELECT row_number() OVER () - 1 AS n, digest, leaf, leaf_hash, disclosed FROM audit.events WHERE source = 'identity' AND leaf LIKE '%tenant.updated%';

ANALYZE;

-- The partitions of eleven months, but for those that have had their time.
SELECT audit.ensure_partitions(now() - day * interval '1 day') FROM generate_series(0, 336, 7) AS day;
DO $$
DECLARE
    week record;
BEGIN
    FOR week IN
        SELECT relid::regclass AS name FROM pg_partition_tree('audit.events')
        WHERE isleaf AND relid::regclass::text ~ 'events_(30|60|90)_'
          AND to_date(right(relid::regclass::text, 8), 'YYYYMMDD')
              < now() - make_interval(days => 7 + split_part(relid::regclass::text, '_', 2)::integer)
    LOOP
        EXECUTE format('DROP TABLE %s', week.name);
    END LOOP;
END
$$;

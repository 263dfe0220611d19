-- What the log is searched by: for each run of consecutive events, which term stands at which places (src/domain/search).
-- What isn't in a run yet, the end of a log above all, is read in order; so a run speeds up and never decides what is found.
-- tenant_id is the log's tenant, and places are indexes; in the runs over all logs together it is the greatest UUID, which no
-- tenant has and no application's transaction takes for its tenant, and places are positions.

-- The places that a run of this level holds: 0 short, 1 long. The same as Level::span.
CREATE FUNCTION search_span(level smallint) RETURNS bigint LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE level WHEN 0 THEN 4096 ELSE 262144 END $$;

CREATE TABLE search_runs (
    tenant_id uuid NOT NULL,
    -- The place behind its last one, which names it.
    until bigint NOT NULL,
    level smallint NOT NULL CHECK (level IN (0, 1)),
    -- How many of its events there were when it was made; the others had gone with their partitions.
    events integer NOT NULL,
    -- When the first and the last of them came and happened; null where there were none.
    received_from timestamptz,
    received_to timestamptz,
    at_from timestamptz,
    at_to timestamptz,
    PRIMARY KEY (tenant_id, until, level)
);
SELECT protect_tenant_table('search_runs');

-- The postings of each run, in buckets of terms; a bucket without any isn't there.
CREATE TABLE search_postings (
    tenant_id uuid NOT NULL,
    level smallint NOT NULL,
    until bigint NOT NULL,
    bucket integer NOT NULL,
    postings bytea NOT NULL,
    PRIMARY KEY (tenant_id, level, until, bucket)
) WITH (toast_tuple_target = 8160);
-- They are packed already, and what fits into a page is to be read with it.
ALTER TABLE search_postings ALTER COLUMN postings SET STORAGE EXTERNAL;
SELECT protect_tenant_table('search_postings');

-- When the events of each short run happened, also once it is part of a long one.
CREATE TABLE search_times (
    tenant_id uuid NOT NULL,
    until bigint NOT NULL,
    at_from timestamptz NOT NULL,
    at_to timestamptz NOT NULL,
    -- Apart from the row, because few of them are read where the range says enough.
    times bytea NOT NULL,
    PRIMARY KEY (tenant_id, until)
);
ALTER TABLE search_times ALTER COLUMN times SET STORAGE EXTERNAL;
SELECT protect_tenant_table('search_times');

-- The runs that are to be made, or made anew. Whoever appends the last event of a short run puts it here, so that logs which
-- grow cost no look.
CREATE TABLE search_due (
    tenant_id uuid NOT NULL,
    level smallint NOT NULL,
    until bigint NOT NULL,
    PRIMARY KEY (tenant_id, level, until)
);
SELECT protect_tenant_table('search_due');

INSERT INTO search_due (tenant_id, level, until)
SELECT tenant_id, 0, run * search_span(0::smallint)
FROM (SELECT tenant_id, size FROM logs
      UNION ALL SELECT 'ffffffff-ffff-ffff-ffff-ffffffffffff', position + 1 FROM log_head) AS scopes,
     generate_series(1, size / search_span(0::smallint)) AS run;

-- One builds runs of a scope at a time; whoever takes terms away from its events holds builders off until the commit.
CREATE FUNCTION search_lock_key(scope uuid) RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT hashtext(scope::text) $$;

-- For whoever changes terms of events, in the same transaction and behind the change: has every run with these places made anew.
-- Until then it finds what it did, and each find is held against the event's present terms.
CREATE FUNCTION search_anew(scope uuid, places bigint[]) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM pg_advisory_xact_lock('search_runs'::regclass::oid::integer, search_lock_key(scope));
    INSERT INTO search_due (tenant_id, level, until)
    SELECT DISTINCT r.tenant_id, r.level, r.until
    FROM unnest(places) AS place, (VALUES (0::smallint), (1::smallint)) AS l (level), search_runs AS r
    WHERE r.tenant_id = scope AND r.level = l.level
      AND r.until = (place / search_span(l.level) + 1) * search_span(l.level)
    ON CONFLICT DO NOTHING;
END
$$;

-- For whoever drops partitions, in the same transaction and behind the drop: has every run made anew that had events which came
-- in this time, whosesoever they are; what has gone is in none of them then.
CREATE FUNCTION search_gone(from_time timestamptz, to_time timestamptz) RETURNS void LANGUAGE sql SET search_path FROM CURRENT AS $$
    INSERT INTO search_due (tenant_id, level, until)
    SELECT tenant_id, level, until FROM search_runs WHERE received_from < to_time AND received_to >= from_time
    ON CONFLICT DO NOTHING
$$;

-- Whoever serves a tenant only reads them.
REVOKE INSERT, UPDATE, DELETE ON search_runs, search_postings, search_times, search_due FROM audit_app;
REVOKE ALL ON FUNCTION search_anew(uuid, bigint[]), search_gone(timestamptz, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION search_anew(uuid, bigint[]), search_gone(timestamptz, timestamptz) TO audit_platform;

-- The end of what was appended, over all logs: one row, locked by whoever appends. So appends come one after the other, each
-- a batch, and whoever reads up to a position skips nothing.
CREATE TABLE log_head (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    position bigint NOT NULL,
    -- When the last batch came: the next one never comes before it, whatever the clock does.
    at timestamptz NOT NULL
);
INSERT INTO log_head (position, at) VALUES (0, clock_timestamp());
SELECT share_table('log_head');

-- The log of each tenant; the nil tenant's is the platform's own. It outlives its tenant.
CREATE TABLE logs (
    tenant_id uuid PRIMARY KEY,
    -- Number of events: the next one has this index.
    size bigint NOT NULL
);
SELECT protect_tenant_table('logs');

-- How far the log has each source's events of each tenant.
CREATE TABLE sources (
    tenant_id uuid NOT NULL,
    source text NOT NULL,
    -- Counted up by an operator, after an alarm.
    epoch integer NOT NULL,
    -- What the epoch began with.
    first_n bigint NOT NULL,
    last_n bigint NOT NULL,
    -- Set by an alarm: this number came again with another content, or couldn't be read.
    stopped_n bigint,
    stopped_at timestamptz,
    PRIMARY KEY (tenant_id, source)
);
CREATE INDEX sources_stopped ON sources (stopped_at) WHERE stopped_at IS NOT NULL;
SELECT protect_tenant_table('sources');

-- The events, by retention class (days that they are kept, 0 for held ones) and by the time that they came: what has had its
-- time goes with its partition.
CREATE TABLE events (
    tenant_id uuid NOT NULL,
    -- Place in the tenant's log, from 0 and without gaps.
    index bigint NOT NULL,
    class smallint NOT NULL,
    received_at timestamptz NOT NULL,
    -- Place among all events.
    position bigint NOT NULL,
    event_id uuid NOT NULL,
    -- When it happened.
    at timestamptz NOT NULL,
    source text NOT NULL,
    epoch integer NOT NULL,
    n bigint NOT NULL,
    -- SHA-256 of the event as its source told it.
    digest bytea NOT NULL,
    -- The event in its canonical form, personal values by their salted hashes: what the log proves.
    leaf text NOT NULL,
    leaf_hash bytea NOT NULL,
    -- Salts and values of what is personal: null once they are erased.
    disclosed text,
    -- Hashes of what the event is found by.
    terms bigint[] NOT NULL,
    PRIMARY KEY (tenant_id, index, class, received_at)
) PARTITION BY LIST (class);
CREATE INDEX events_position ON events (position);
SELECT protect_tenant_table('events');

CREATE TABLE events_30 PARTITION OF events FOR VALUES IN (30) PARTITION BY RANGE (received_at);
CREATE TABLE events_60 PARTITION OF events FOR VALUES IN (60) PARTITION BY RANGE (received_at);
CREATE TABLE events_90 PARTITION OF events FOR VALUES IN (90) PARTITION BY RANGE (received_at);
CREATE TABLE events_365 PARTITION OF events FOR VALUES IN (365) PARTITION BY RANGE (received_at);
CREATE TABLE events_730 PARTITION OF events FOR VALUES IN (730) PARTITION BY RANGE (received_at);
CREATE TABLE events_0 PARTITION OF events FOR VALUES IN (0) PARTITION BY RANGE (received_at);
SELECT protect_tenant_table(partition.relid)
FROM pg_partition_tree('events') AS partition WHERE partition.level = 1;

-- Makes the partition that events of this class and time go to, where it isn't there yet: weeks for classes up to 90 days,
-- else months. As the owner, because the roles that serve requests own nothing; what it names is in the schema or nowhere,
-- whatever temporary tables its caller has. It is attached once it is whole, because a table that is created as a partition
-- keeps everybody from all others until the commit.
CREATE FUNCTION ensure_partition(of_class integer, at timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = audit, pg_temp AS $$
DECLARE
    unit text := CASE WHEN of_class BETWEEN 1 AND 90 THEN 'week' ELSE 'month' END;
    first timestamp := date_trunc(unit, at AT TIME ZONE 'UTC');
    parent text := format('events_%s', of_class);
    name text := format('events_%s_%s', of_class, to_char(first, 'YYYYMMDD'));
BEGIN
    PERFORM pg_advisory_xact_lock('events'::regclass::oid::bigint);
    IF to_regclass(name) IS NULL THEN
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', name, parent);
        PERFORM protect_tenant_table(name::regclass);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, name,
            first AT TIME ZONE 'UTC', (first + ('1 ' || unit)::interval) AT TIME ZONE 'UTC');
    END IF;
END
$$;

-- The same for all classes.
CREATE FUNCTION ensure_partitions(at timestamptz) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = audit, pg_temp AS $$
    SELECT ensure_partition(class, at) FROM unnest(ARRAY[30, 60, 90, 365, 730, 0]) AS class
$$;
REVOKE ALL ON FUNCTION ensure_partition(integer, timestamptz), ensure_partitions(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_partition(integer, timestamptz), ensure_partitions(timestamptz) TO audit_platform;
SELECT ensure_partitions(at) FROM generate_series(now(), now() + interval '5 weeks', interval '1 week') AS at;

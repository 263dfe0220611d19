-- How long events are kept: partitions that have had their time go, what has to stay is moved before; and what is left of a
-- log once its tenant is purged.

ALTER TABLE logs
    -- The longest class that a plan of the tenant asked for when events of it came, for when nobody knows the tenant any more.
    ADD COLUMN class smallint,
    -- Since when the log takes no personal values, because its tenant is purged.
    ADD COLUMN purged_at timestamptz,
    -- Of the events before this place none has any left.
    ADD COLUMN erased_to bigint NOT NULL DEFAULT 0;

-- The place behind the last event of each log that has gone, in the transaction in which it went: from there on a log is whole. A
-- table of its own, so that neither appends nor whoever signs ever wait for a drop.
CREATE TABLE gone (
    tenant_id uuid PRIMARY KEY,
    gone_to bigint NOT NULL
);
SELECT protect_tenant_table('gone');
REVOKE INSERT, UPDATE, DELETE ON gone FROM audit_app;
REVOKE DELETE ON gone FROM audit_platform;

-- The partitions of events, and which of them have had their time: a day longer than their class says, so that what someone
-- sees is never about to go. Held events have no time of their own; their partitions may go once nothing is in them.
CREATE FUNCTION event_partitions()
RETURNS TABLE (name text, class smallint, begins timestamptz, ends timestamptz, past boolean) LANGUAGE sql AS $$
    WITH bounds AS (
        SELECT leaf.relname::text AS name,
               substring(pg_get_expr(list.relpartbound, list.oid) FROM '\d+')::smallint AS class,
               regexp_match(pg_get_expr(leaf.relpartbound, leaf.oid), '\(''(.+)''\) TO \(''(.+)''\)') AS range
        FROM pg_inherits AS l JOIN pg_class AS list ON list.oid = l.inhrelid
        JOIN pg_inherits AS i ON i.inhparent = list.oid JOIN pg_class AS leaf ON leaf.oid = i.inhrelid
        WHERE l.inhparent = 'events'::regclass
    )
    SELECT name, class, range[1]::timestamptz, range[2]::timestamptz,
           range[2]::timestamptz < clock_timestamp() - make_interval(days => class + 1)
    FROM bounds
$$;

-- Drops one of them, if it has had its time. Who calls it has locked it, looked that nothing is in it which has to stay, and noted
-- what goes; of held events it sees to it itself that there are none.
CREATE FUNCTION drop_partition(partition text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = audit, pg_temp AS $$
DECLARE
    held boolean;
BEGIN
    SELECT class = 0 INTO held FROM event_partitions() WHERE name = partition AND past;
    IF held IS NULL THEN
        RAISE EXCEPTION '% is no partition of events that has had its time', partition USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF held THEN
        EXECUTE format('LOCK TABLE %I IN SHARE ROW EXCLUSIVE MODE', partition);
        EXECUTE format('SELECT EXISTS (SELECT FROM %I)', partition) INTO held;
        IF held THEN
            RAISE EXCEPTION '% holds events that are held', partition USING ERRCODE = 'insufficient_privilege';
        END IF;
    END IF;
    EXECUTE format('DROP TABLE %I', partition);
END
$$;
REVOKE ALL ON FUNCTION drop_partition(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION drop_partition(text) TO audit_platform;

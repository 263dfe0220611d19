-- The log has lines: a request that names several resource types has one of each. What gives back or corrects is a line of its own,
-- of a negative amount where it lowers, so that the lines of a resource type add up to what its accounts have.
ALTER TABLE usage_log
    ADD COLUMN line smallint NOT NULL DEFAULT 0,
    ADD COLUMN kind text NOT NULL DEFAULT 'used',
    -- When it was used, which is not when that became known.
    ADD COLUMN occurred_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The reservation that it ends, or what it corrects.
    ADD COLUMN refers_to uuid;
UPDATE usage_log SET occurred_at = recorded_at;
ALTER TABLE usage_log DROP CONSTRAINT usage_log_pkey;
ALTER TABLE usage_log ADD PRIMARY KEY (tenant_id, principal, request_id, line);


-- What the log adds up to in spans of time: in minutes, which are kept for as long as the log is, and in quarters of an hour, of which
-- the days and months of every time zone are made.
CREATE TABLE usage_series (
    tenant_id uuid NOT NULL,
    resource_type text NOT NULL,
    -- 1 or 15.
    minutes smallint NOT NULL,
    start timestamptz NOT NULL,
    amount bigint NOT NULL,
    PRIMARY KEY (tenant_id, resource_type, minutes, start)
);
CREATE INDEX usage_series_age ON usage_series USING brin (start);
SELECT protect_tenant_table('usage_series');
INSERT INTO usage_series
SELECT tenant_id, resource_type, width, date_bin(make_interval(mins => width), occurred_at, timestamptz '2000-01-01 00:00:00Z'), sum(amount)
FROM usage_log, unnest(ARRAY[1, 15]) AS width
GROUP BY 1, 2, 3, 4;

-- What is held for what is under way: it counts in its accounts from the beginning.
CREATE TABLE reservations (
    tenant_id uuid NOT NULL,
    reservation_id uuid NOT NULL,
    -- held, committed, cancelled or expired.
    status text NOT NULL,
    -- How much of which resource types, each with the accounts that it counts in.
    lines jsonb NOT NULL,
    description text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    PRIMARY KEY (tenant_id, reservation_id)
);
CREATE INDEX reservations_due ON reservations (expires_at) WHERE status = 'held';
CREATE INDEX reservations_ended ON reservations (ended_at) WHERE status <> 'held';
SELECT protect_tenant_table('reservations');

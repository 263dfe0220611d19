-- Reservations of other services, for what they keep: held under the id of the item, committed for as long as there is one, and
-- released for good.
ALTER TABLE reservations
    -- The service that keeps the item; null for the product's own, which lapse by themselves.
    ADD COLUMN owner text;
COMMENT ON COLUMN reservations.status IS 'held, committed, cancelled, expired or released';
COMMENT ON COLUMN reservations.ended_at IS 'null while it is held, and while what it was held for is there';

-- Of what is asked about again and again none stands in the way of what lapses by itself.
DROP INDEX reservations_due;
CREATE INDEX reservations_due ON reservations (expires_at) WHERE status = 'held' AND owner IS NULL;
CREATE INDEX reservations_doubtful ON reservations (expires_at) WHERE status = 'held' AND owner IS NOT NULL;

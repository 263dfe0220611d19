-- A tenant that is purged: from closed_at on no change of it commits, because each writes its number here last; and ended_at
-- is the time of its last event, which a purge writes once.
ALTER TABLE outbox_counter ADD COLUMN closed_at timestamptz, ADD COLUMN ended_at timestamptz;

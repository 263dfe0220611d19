-- How a limit is kept that stands apart from the plan's: what becomes of uses beyond it, how fast it may be used up, and what holds
-- where it can't be asked about. Nothing where it is a plain hard limit.
ALTER TABLE limit_overrides ADD COLUMN policy jsonb NOT NULL DEFAULT '{}';

-- How much beyond the limit is admitted.
ALTER TABLE accounts ADD COLUMN beyond bigint NOT NULL DEFAULT 0 CHECK (beyond >= 0);

-- What was told of how full an account is, each once: the highest share of the limit in percent (0 for none), and that it refused.
ALTER TABLE accounts
    ADD COLUMN told_percent smallint NOT NULL DEFAULT 0,
    ADD COLUMN told_refusal boolean NOT NULL DEFAULT false;

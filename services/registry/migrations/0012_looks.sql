-- What orders the looks for a domain's record, and sets apart those that nobody answers.

ALTER TABLE domains
    -- When a look last showed the record: what another look, under way since before, didn't show says nothing against it.
    ADD COLUMN shown_at timestamptz,
    -- How many looks in a row nobody answered.
    ADD COLUMN unanswered integer NOT NULL DEFAULT 0;

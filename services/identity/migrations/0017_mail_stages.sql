-- What a replica that took a mail up has done with it so far; it counts until `next_at`.
ALTER TABLE mails
    -- `handed_over`: a mail server got all of it, and may send it whatever becomes of the row.
    ADD COLUMN stage text NOT NULL DEFAULT 'waits' CHECK (stage IN ('waits', 'taken', 'handed_over')),
    -- How often it was handed over, and the server never said whether it keeps it.
    ADD COLUMN unanswered integer NOT NULL DEFAULT 0;
-- Counts what replicas have under way.
CREATE INDEX mails_under_way ON mails (next_at) WHERE stage <> 'waits';

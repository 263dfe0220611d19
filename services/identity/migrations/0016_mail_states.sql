-- Where the mail of an invitation's newest link stands, and since when. Written with the link, then by whoever sends mails,
-- in the transaction that removes the mail from those that wait or has it wait longer.
ALTER TABLE invitations
    ADD COLUMN mail_state text NOT NULL DEFAULT 'queued' CHECK (mail_state IN ('queued', 'delayed', 'sent', 'failed')),
    ADD COLUMN mail_state_at timestamptz NOT NULL DEFAULT clock_timestamp();
-- What doesn't wait any more went, as far as anyone knows.
UPDATE invitations AS i SET mail_state = 'sent', mail_state_at = sent_at
WHERE NOT EXISTS (SELECT FROM mails AS m WHERE m.tenant_id = i.tenant_id AND m.about = i.id);

-- Since when a server takes the recipient not, at each try, and says not why.
ALTER TABLE mails ADD COLUMN doubted_since timestamptz;

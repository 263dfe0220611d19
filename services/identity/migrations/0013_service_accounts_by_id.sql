-- Questions about what an account may do name it alone.
CREATE INDEX service_accounts_id ON service_accounts (id);

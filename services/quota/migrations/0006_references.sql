-- What a line refers to is found by it: the corrections of a use, and what ended a reservation.
CREATE INDEX usage_log_refers ON usage_log (tenant_id, refers_to) WHERE refers_to IS NOT NULL;

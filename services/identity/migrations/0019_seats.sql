-- Places that members and API keys take of what the tenant may have. Each has an id by which quota counts it: a member's is new with each
-- membership, a key's is the key's own, which a rotation keeps.
ALTER TABLE memberships ADD COLUMN seat_id uuid NOT NULL DEFAULT gen_random_uuid();
CREATE UNIQUE INDEX memberships_seat ON memberships (tenant_id, seat_id);

-- Whether a key that has expired has left its place.
ALTER TABLE api_keys ADD COLUMN seat_left boolean NOT NULL DEFAULT false;
UPDATE api_keys SET seat_left = true WHERE expires_at <= clock_timestamp();
CREATE INDEX api_keys_expired ON api_keys (expires_at) WHERE revoked_at IS NULL AND NOT seat_left;

-- What quota is yet to be told about places, one row for each: what is so of it last.
CREATE TABLE seat_changes (
    tenant_id uuid NOT NULL,
    seat_id uuid NOT NULL,
    resource_type text NOT NULL,
    -- taken or left; void where it was held and nobody took it in time, gone once quota was told so. A row that is void or gone keeps
    -- whoever comes late from taking it.
    change text NOT NULL,
    -- When it is told, or goes.
    due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT seat_changes_pkey PRIMARY KEY (tenant_id, seat_id)
);
CREATE INDEX seat_changes_due ON seat_changes (due_at);
SELECT protect_tenant_table('seat_changes');

-- Whatever makes or ends a member or a key, a replica of before this migration too, comes by here, in its own transaction.
CREATE FUNCTION note_seat_taken(tenant uuid, seat uuid, kind text) RETURNS void LANGUAGE sql SET search_path FROM CURRENT AS $$
    INSERT INTO seat_changes (tenant_id, seat_id, resource_type, change) VALUES (tenant, seat, kind, 'taken')
$$;
CREATE FUNCTION note_seat_left(tenant uuid, seat uuid, kind text) RETURNS void LANGUAGE sql SET search_path FROM CURRENT AS $$
    INSERT INTO seat_changes (tenant_id, seat_id, resource_type, change) VALUES (tenant, seat, kind, 'left')
    ON CONFLICT (tenant_id, seat_id) DO UPDATE SET change = 'left', due_at = clock_timestamp()
$$;

CREATE FUNCTION note_seat_of_member() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM note_seat_taken(NEW.tenant_id, NEW.seat_id, 'users');
    ELSE
        PERFORM note_seat_left(OLD.tenant_id, OLD.seat_id, 'users');
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER note_seat AFTER INSERT OR DELETE ON memberships FOR EACH ROW EXECUTE FUNCTION note_seat_of_member();

-- Keys of the platform take no place.
CREATE FUNCTION note_seat_of_key() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM note_seat_taken(NEW.tenant_id, NEW.id, 'api_keys');
    ELSE
        PERFORM note_seat_left(OLD.tenant_id, OLD.id, 'api_keys');
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER note_seat AFTER INSERT ON api_keys FOR EACH ROW
    WHEN (NEW.tenant_id <> '00000000-0000-0000-0000-000000000000') EXECUTE FUNCTION note_seat_of_key();
CREATE TRIGGER note_seat_left AFTER UPDATE OF revoked_at, seat_left ON api_keys FOR EACH ROW
    WHEN (NEW.tenant_id <> '00000000-0000-0000-0000-000000000000' AND OLD.revoked_at IS NULL AND NOT OLD.seat_left
          AND (NEW.revoked_at IS NOT NULL OR NEW.seat_left)) EXECUTE FUNCTION note_seat_of_key();
CREATE TRIGGER note_seat_gone AFTER DELETE ON api_keys FOR EACH ROW
    WHEN (OLD.tenant_id <> '00000000-0000-0000-0000-000000000000') EXECUTE FUNCTION note_seat_of_key();

-- Those that there are already.
INSERT INTO seat_changes (tenant_id, seat_id, resource_type, change)
SELECT tenant_id, seat_id, 'users', 'taken' FROM memberships
UNION ALL
SELECT tenant_id, id, 'api_keys', 'taken' FROM api_keys
WHERE revoked_at IS NULL AND NOT seat_left AND tenant_id <> '00000000-0000-0000-0000-000000000000';

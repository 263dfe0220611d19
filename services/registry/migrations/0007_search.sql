-- Text in names and slugs, found among millions.

-- The form in which texts are compared: lower case, and composed (NFC), so that an accent is the same however it was typed.
-- Most texts are ASCII and composed already; composing is what costs.
CREATE FUNCTION search_form(text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT lower(CASE WHEN octet_length($1) = char_length($1) THEN $1 ELSE normalize($1, NFC) END)
$$;

-- pg_trgm is made with the database: that needs a right there which migrations don't have. Where the owner has it, or where
-- the extension lies in another schema, it is found all the same.
DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    -- Both in one index, a line each: no text has a line's end, so none is found across the two. New rows go into the index
    -- itself and not into a list before it, which every search would have to read through.
    EXECUTE format(
        $index$
        CREATE INDEX tenants_by_text ON tenants
            USING gin (search_form(E'\n' || name || E'\n' || slug) %s.gin_trgm_ops) WITH (fastupdate = off)
        $index$,
        (SELECT extnamespace::regnamespace FROM pg_extension WHERE extname = 'pg_trgm'));
END
$$;

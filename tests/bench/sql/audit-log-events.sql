-- Events $1 to $2 of $3, behind position $4. An eighth are one tenant's ($5), an eighth another's, the others' are eight thousand
-- small ones'. They came within eleven months, the last just now; one in fifty happened hours before it came. Actors, actions,
-- resources, addresses and words are drawn so that the nth is twice as frequent as the 2nth (Zipf); one in 200 is denied.
INSERT INTO audit.events (tenant_id, index, class, received_at, position, event_id, at, source, epoch, n, digest, leaf, leaf_hash,
                          disclosed, terms)
WITH drawn AS MATERIALIZED (
    SELECT p, p % 8 AS part, (p / 8) AS round, now() - interval '330 days' * (1 - p::float8 / $3) AS received_at,
        floor(2001 ^ random())::integer - 1 AS actor, floor(41 ^ random())::integer - 1 AS action,
        floor(100001 ^ random())::integer - 1 AS resource, floor(5001 ^ random())::integer - 1 AS address, floor(16 ^ random())::integer - 1 AS agent,
        floor(20001 ^ random())::integer - 1 AS word1, floor(20001 ^ random())::integer - 1 AS word2, floor(random() * 200)::integer AS outcome,
        random() AS late, p % (SELECT count(*) FROM bench.templates) AS template
    FROM generate_series($1::bigint, $2::bigint) AS p
), placed AS (
    SELECT *, CASE part WHEN 0 THEN $5 WHEN 1 THEN bench.id('tenant', 0)::uuid
                   ELSE bench.id('tenant', part * 1000 + round % 1000)::uuid END AS tenant_id,
        CASE part WHEN 0 THEN round - 1 WHEN 1 THEN round ELSE round / 1000 END AS index,
        CASE WHEN part = 0 THEN 730 WHEN part > 5 AND received_at > now() - interval '28 days' THEN 30 ELSE 365 END AS class
    FROM drawn
)
SELECT tenant_id, index, class, received_at, $4 + p, bench.id('event', p)::uuid,
    received_at - CASE WHEN late < 0.02 THEN interval '20 hours' * random() ELSE interval '1 second' * random() END,
    'bench', 1, index + 1, digest, leaf, leaf_hash, disclosed,
    ARRAY[bench.term('event', bench.id('event', p)), bench.term('request_id', 'request-' || p), o.term, w1.term, w2.term]
        || actors.terms || actions.terms || resources.terms || addresses.terms || agents.terms
FROM placed
JOIN bench.actors ON actors.n = actor JOIN bench.actions ON actions.n = action JOIN bench.resources ON resources.n = resource
JOIN bench.addresses ON addresses.n = address JOIN bench.agents ON agents.n = agent JOIN bench.outcomes AS o ON o.n = outcome
JOIN bench.words AS w1 ON w1.n = word1 JOIN bench.words AS w2 ON w2.n = word2 JOIN bench.templates ON templates.n = template

//! Events by the hundred thousand, put into the log behind the service's back: each a copy of one that it took, but for its place,
//! its time and what it is found by.

use sqlx::PgConnection;
use tenantry_core::TenantId;

use crate::support::{World, event, stream};

/// The terms of the service, told once more: SHA-256 over the fact's name, a zero and the value, of which the first 64 bits.
const TERM: &str = r"
CREATE OR REPLACE FUNCTION term_of(fact text, value text) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT ('x' || encode(substring(sha256(convert_to(fact, 'UTF8') || '\x00'::bytea || convert_to(value, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint
$$";

/// Event number i is found by `request-<i>`, by the word `w<i % 1000>`, and as of the type `e<i % 7>`; one comes every ten seconds,
/// the last one now.
const EVENTS: &str = "
INSERT INTO events (tenant_id, index, class, received_at, position, event_id, at, source, epoch, n, digest, leaf, leaf_hash,
                    disclosed, terms)
SELECT e.tenant_id, i, e.class, e.received_at - make_interval(secs => 10 * ($2 - i)), e.position + i, gen_random_uuid(),
       e.at - make_interval(secs => 10 * ($2 - i)), e.source, e.epoch, i + 1, e.digest, e.leaf, e.leaf_hash, e.disclosed,
       ARRAY[term_of('request_id', 'request-' || i), term_of('word', 'w' || i % 1000),
             term_of('event_type', 'e' || i % 7)]
FROM events AS e, generate_series(1, $2 - 1) AS i WHERE e.tenant_id = $1 AND e.index = 0";

/// The first one came first, as in any log: by that a search knows where it needs to look.
const FIRST: &str = "
UPDATE events SET received_at = received_at - make_interval(secs => 10 * $2), at = at - make_interval(secs => 10 * $2)
WHERE tenant_id = $1 AND index = 0";

const SMALL: &str = "
INSERT INTO events (tenant_id, index, class, received_at, position, event_id, at, source, epoch, n, digest, leaf, leaf_hash,
                    disclosed, terms)
SELECT md5('small' || log)::uuid, i, e.class, clock_timestamp(), head.position + log * $3 + i + 1, gen_random_uuid(), e.at, e.source,
       e.epoch, i + 1, e.digest, e.leaf, e.leaf_hash, e.disclosed, ARRAY[term_of('word', 'small')]
FROM events AS e, log_head AS head, generate_series(0, $2 - 1) AS log, generate_series(0, $3 - 1) AS i
WHERE e.tenant_id = $1 AND e.index = 0";

const PARTITIONS: &str = "
SELECT ensure_partitions(now() - day * interval '1 day') FROM generate_series(0, $1 * 10 / 86400 + 7, 7) AS day";

const DUE: &str = "
INSERT INTO search_due (tenant_id, level, until)
SELECT scope, 0, run * 4096 FROM unnest($1::uuid[], $2::bigint[]) AS s (scope, size), generate_series(1, size / 4096) AS run
ON CONFLICT DO NOTHING";

/// A log of so many events, the first one a real one. Of the world's only log the indexes are one less than the positions.
pub(super) async fn log(world: &World, size: i64) -> TenantId {
    let tenant = world.registry.add("large", 730, None);
    let first = stream(tenant, 1, &[event("e0")]);
    world.appended("registry", first).await;
    let mut owner = owner(world).await;
    let partitions = sqlx::query(PARTITIONS).bind(size);
    partitions.execute(&mut owner).await.unwrap();
    for statement in [EVENTS, FIRST] {
        let query = sqlx::query(statement).bind(tenant.uuid()).bind(size);
        query.execute(&mut owner).await.unwrap();
    }
    for statement in [
        "UPDATE logs SET size = $1",
        "UPDATE log_head SET position = $1",
    ] {
        sqlx::query(statement)
            .bind(size)
            .execute(&mut owner)
            .await
            .unwrap();
    }
    sqlx::query("ANALYZE events")
        .execute(&mut owner)
        .await
        .unwrap();
    sqlx::query(DUE)
        .bind([tenant.uuid(), super::ALL])
        .bind([size, size + 1])
        .execute(&mut owner)
        .await
        .unwrap();
    tenant
}

/// Puts so many events of each of so many further tenants into the log, behind all that it has.
pub(super) async fn small_logs(world: &World, tenant: TenantId, logs: i64, events: i64) {
    let mut owner = owner(world).await;
    let small = sqlx::query(SMALL).bind(tenant.uuid());
    let small = small.bind(logs).bind(events);
    small.execute(&mut owner).await.unwrap();
    let settle =
        "UPDATE log_head SET position = (SELECT max(position) FROM events); ANALYZE events";
    let settle = sqlx::raw_sql(settle).execute(&mut owner);
    settle.await.unwrap();
}

/// A connection that sees every row and has `term_of`.
pub(super) async fn owner(world: &World) -> PgConnection {
    let mut owner = world.owner().await;
    sqlx::query(TERM).execute(&mut owner).await.unwrap();
    owner
}

/// In how many buckets this word has a mark.
pub(super) async fn traces(world: &World, word: &str) -> i64 {
    let traces = sqlx::query_scalar(
        "SELECT count(*) FROM search_postings, int8send(term_of('word', $1)) AS term
         WHERE bucket = CASE level WHEN 0 THEN get_byte(term, 0) ELSE get_byte(term, 0) * 32 + get_byte(term, 1) / 8 END
         AND position(substring(term FROM 2 FOR 4) IN postings) > 0",
    );
    let mut owner = owner(world).await;
    traces.bind(word).fetch_one(&mut owner).await.unwrap()
}

/// Takes a word from the events that have it, as an erasure does, and says so where the runs are made.
pub(super) async fn erase(world: &World, tenant: TenantId, word: &str) {
    let mut owner = owner(world).await;
    let statement = "
        WITH erased AS (
            UPDATE events SET disclosed = NULL, terms = array_remove(terms, term_of('word', $2))
            WHERE tenant_id = $1 AND terms @> ARRAY[term_of('word', $2)] RETURNING index, position
        )
        SELECT search_anew($1, array_agg(index)), search_anew($3, array_agg(position)) FROM erased";
    let query = sqlx::query(statement).bind(tenant.uuid()).bind(word);
    query.bind(super::ALL).execute(&mut owner).await.unwrap();
}

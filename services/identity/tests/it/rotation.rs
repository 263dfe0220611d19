//! Keys get new secrets while the ones before go on for a while; what nobody holds costs the same whatever it looks like;
//! uses are counted.

use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use sqlx::{Connection as _, PgConnection};
use tenantry_core::ApiKeyId;
use tenantry_proto::identity::v1 as wire;
use tonic::Status;

use crate::caller::{Who, reason};
use crate::world::{World, until};

/// Well below the longest wait for the database.
const WITHOUT_WAITING: Duration = Duration::from_millis(700);

async fn make(world: &World, who: &Who, permissions: &[&str]) -> wire::CreateApiKeyResponse {
    let request = wire::CreateApiKeyRequest {
        name: "ci".to_owned(),
        permissions: permissions.iter().map(|p| (*p).to_owned()).collect(),
        ..Default::default()
    };
    let ask = world.ask(who, request).await.unwrap();
    world
        .api_keys()
        .create_api_key(ask)
        .await
        .unwrap()
        .into_inner()
}

fn id(made: &wire::CreateApiKeyResponse) -> String {
    made.api_key.clone().unwrap().id
}

fn rotation(
    key: &str,
    overlap_seconds: Option<i64>,
    request_id: &str,
) -> wire::RotateApiKeyRequest {
    wire::RotateApiKeyRequest {
        api_key: key.to_owned(),
        overlap: overlap_seconds.map(|seconds| prost_types::Duration { seconds, nanos: 0 }),
        request_id: request_id.to_owned(),
        ..Default::default()
    }
}

async fn rotate(
    world: &World,
    who: &Who,
    request: wire::RotateApiKeyRequest,
) -> Result<wire::CreateApiKeyResponse, Status> {
    let ask = world.ask(who, request).await?;
    Ok(world.api_keys().rotate_api_key(ask).await?.into_inner())
}

async fn get(world: &World, who: &Who, key: &str) -> Result<wire::ApiKey, Status> {
    let request = wire::GetApiKeyRequest {
        api_key: key.to_owned(),
        ..Default::default()
    };
    let ask = world.ask(who, request).await?;
    Ok(world.api_keys().get_api_key(ask).await?.into_inner())
}

fn on_both(secret: &str) -> [Who; 2] {
    [Who::key(secret), Who::key(secret).of_replica(1)]
}

#[tokio::test]
async fn the_secret_before_works_until_the_overlap_ends_and_no_longer_on_any_replica() {
    const OVERLAP: i64 = 3;
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    let made = make(&world, &owner, &["members.read"]).await;
    let key = id(&made);
    for who in on_both(&made.secret) {
        assert_eq!(world.reason(&who).await, "");
    }
    let rotated = rotate(&world, &owner, rotation(&key, Some(OVERLAP), "once"))
        .await
        .unwrap();
    let began = Instant::now();
    let overlap_ends = began + Duration::from_secs(OVERLAP.unsigned_abs());
    let again = rotate(&world, &owner, rotation(&key, Some(OVERLAP), "once"))
        .await
        .unwrap();
    assert_eq!(rotated, again, "a repetition rotates nothing");
    let (before, after) = (made.api_key.unwrap(), rotated.api_key.clone().unwrap());
    assert!(rotated.secret.starts_with(&after.prefix) && rotated.secret != made.secret);
    assert_eq!(
        (&after.id, &after.name, &after.permissions, after.created_at),
        (
            &before.id,
            &before.name,
            &before.permissions,
            before.created_at
        )
    );
    assert!(after.rotated_at.is_some() && after.previous_secret_expires_at.is_some());
    for who in on_both(&rotated.secret)
        .iter()
        .chain(&on_both(&made.secret))
    {
        let reason = world.reason(who).await;
        assert!(
            reason.is_empty() || Instant::now() >= overlap_ends,
            "both secrets work: {reason}"
        );
    }
    tokio::time::sleep_until(overlap_ends.into()).await;
    for who in on_both(&made.secret) {
        assert_eq!(world.reason(&who).await, "CREDENTIAL_EXPIRED");
    }
    for who in on_both(&rotated.secret) {
        assert_eq!(world.reason(&who).await, "");
    }
}

#[tokio::test]
async fn rotating_again_ends_the_older_secret_and_without_overlap_the_present_one_too() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    let first = make(&world, &owner, &[]).await;
    let key = id(&first);
    let second = rotate(&world, &owner, rotation(&key, None, ""))
        .await
        .unwrap();
    let third = rotate(&world, &owner, rotation(&key, None, ""))
        .await
        .unwrap();
    for who in on_both(&first.secret) {
        until(async || world.reason(&who).await == "UNAUTHENTICATED").await;
    }
    for who in on_both(&second.secret)
        .iter()
        .chain(&on_both(&third.secret))
    {
        assert_eq!(world.reason(who).await, "");
    }
    let last = rotate(&world, &owner, rotation(&key, Some(0), ""))
        .await
        .unwrap();
    for who in on_both(&third.secret) {
        until(async || world.reason(&who).await == "CREDENTIAL_EXPIRED").await;
    }
    assert_eq!(world.reason(&Who::key(&last.secret)).await, "");
    for secret in [&first, &second, &third, &last].map(|made| &made.secret) {
        let random = secret.split('_').nth(2).unwrap();
        assert!(
            !dump(&world).await.contains(random),
            "no table holds a secret"
        );
    }
}

#[tokio::test]
async fn who_holds_less_than_a_key_never_gets_its_secret_and_an_ended_key_gets_none() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let elsewhere = world.tenant("beta", None).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    let admin = world.member(tenant, "admin@example.com", "admin").await;
    let stranger = world.member(elsewhere, "other@example.com", "owner").await;
    let made = make(&world, &owner, &["owners.manage"]).await;
    let key = id(&made);
    let refused = rotate(&world, &admin, rotation(&key, None, "")).await;
    assert_eq!(reason(&refused.unwrap_err()), "GRANT_EXCEEDS_OWN");
    let foreign = rotate(&world, &stranger, rotation(&key, None, "")).await;
    let absent = ApiKeyId::new().to_string();
    let absent = rotate(&world, &stranger, rotation(&absent, None, "")).await;
    let (foreign, absent) = (foreign.unwrap_err(), absent.unwrap_err());
    assert_eq!(reason(&foreign), "API_KEY_NOT_FOUND");
    assert_eq!(
        (foreign.message(), foreign.details()),
        (absent.message(), absent.details())
    );
    assert_eq!(
        reason(&get(&world, &stranger, &key).await.unwrap_err()),
        "API_KEY_NOT_FOUND"
    );
    for overlap in [-1, 30 * 86_400 + 1, i64::MIN, i64::MAX] {
        let refused = rotate(&world, &owner, rotation(&key, Some(overlap), "")).await;
        assert_eq!(
            reason(&refused.unwrap_err()),
            "INVALID_ARGUMENT",
            "{overlap}"
        );
    }
    let revoke = wire::RevokeApiKeyRequest {
        api_key: key.clone(),
        ..Default::default()
    };
    let ask = world.ask(&owner, revoke).await.unwrap();
    world.api_keys().revoke_api_key(ask).await.unwrap();
    let refused = rotate(&world, &owner, rotation(&key, None, "")).await;
    assert_eq!(reason(&refused.unwrap_err()), "API_KEY_ENDED");
}

/// A secret in the right form, for this id, that nobody has.
fn made_up(id: &str, random: u8) -> String {
    let body = format!("tk_{id}_{}", format!("{random:02x}").repeat(32));
    let sum = Sha256::digest(body.as_bytes());
    format!(
        "{body}_{:02x}{:02x}{:02x}{:02x}",
        sum[0], sum[1], sum[2], sum[3]
    )
}

/// Time alone would prove nothing on a busy machine, so the table is locked and each check shows whether it reads it: a
/// wrong secret of a key that exists, one of no key, both once and then from memory; a malformed one never.
#[tokio::test]
async fn a_near_miss_costs_what_a_random_key_costs() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    let made = make(&world, &owner, &[]).await;
    let own = Who::key(&made.secret);
    // Once a later change is felt, that the key was made is no news any more.
    let spare = make(&world, &owner, &[]).await;
    let revoke = wire::RevokeApiKeyRequest {
        api_key: id(&spare),
        ..Default::default()
    };
    let ask = world.ask(&owner, revoke).await.unwrap();
    assert_eq!(world.reason(&Who::key(&spare.secret)).await, "");
    world.api_keys().revoke_api_key(ask).await.unwrap();
    until(async || world.reason(&Who::key(&spare.secret)).await == "CREDENTIAL_REVOKED").await;
    assert_eq!(world.reason(&own).await, "");
    let known = made.secret.split('_').nth(1).unwrap();
    let unknown = ApiKeyId::new().uuid().simple().to_string();
    let strangers = [known, unknown.as_str()].map(|id| Who::key(&made_up(id, 7)));
    let mut wrong_sum = made.secret.clone();
    let last = if wrong_sum.ends_with('0') { "1" } else { "0" };
    wrong_sum.replace_range(wrong_sum.len() - 1.., last);
    let malformed = [
        wrong_sum,
        "tk_0".to_owned(),
        made_up(known, 7).to_uppercase(),
    ];

    let mut other = PgConnection::connect(world.database.superuser_url().as_str())
        .await
        .unwrap();
    let mut busy = other.begin().await.unwrap();
    sqlx::query("LOCK TABLE identity.api_keys IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *busy)
        .await
        .unwrap();
    let answered = async |who: &Who| {
        tokio::time::timeout(WITHOUT_WAITING, world.reason(who))
            .await
            .ok()
    };
    assert_eq!(
        answered(&own).await.as_deref(),
        Some(""),
        "a warm check reads nothing"
    );
    for text in &malformed {
        let reason = answered(&Who::key(text)).await;
        assert_eq!(reason.as_deref(), Some("UNAUTHENTICATED"), "{text}");
    }
    for who in &strangers {
        assert_eq!(answered(who).await, None, "one look-up each");
    }
    busy.rollback().await.unwrap();
    for who in &strangers {
        assert_eq!(world.reason(who).await, "UNAUTHENTICATED");
    }
    let mut busy = other.begin().await.unwrap();
    sqlx::query("LOCK TABLE identity.api_keys IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *busy)
        .await
        .unwrap();
    for who in &strangers {
        let reason = answered(who).await;
        assert_eq!(reason.as_deref(), Some("UNAUTHENTICATED"), "from memory");
    }
    assert_eq!(answered(&own).await.as_deref(), Some(""), "as before");
}

#[tokio::test]
async fn requests_of_a_key_are_counted_on_every_replica_and_written_at_its_end_too() {
    const EACH: i32 = 7;
    let mut world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    let made = make(&world, &owner, &[]).await;
    let unused = make(&world, &owner, &[]).await;
    for who in on_both(&made.secret) {
        for _ in 0..EACH {
            assert_eq!(world.reason(&who).await, "");
        }
    }
    assert_eq!(
        world.reason(&Who::key(&made_up(&"0".repeat(32), 1))).await,
        "UNAUTHENTICATED"
    );
    let before = tenantry_core::clock::now().as_second();
    world.restart().await;
    let used = get(&world, &owner, &id(&made)).await.unwrap();
    assert_eq!(used.requests_last_day, 2 * EACH);
    assert!(used.requests_last_hour > 0 && used.requests_last_hour <= 2 * EACH);
    let last = used.last_used_at.unwrap().seconds;
    assert!((before - 60..=before).contains(&last), "{last} of {before}");
    let unused = get(&world, &owner, &id(&unused)).await.unwrap();
    assert_eq!((unused.requests_last_day, unused.last_used_at), (0, None));
    // What an hour counts for falls with its age, and goes after a day; when the key was last used stays.
    let mut connection = PgConnection::connect(world.database.superuser_url().as_str())
        .await
        .unwrap();
    for (hours, expected) in [(2, (0, 2 * EACH)), (28, (0, 0))] {
        sqlx::query("UPDATE identity.api_key_uses SET hour = date_trunc('hour', clock_timestamp(), 'UTC') - make_interval(hours => $1)")
            .bind(hours)
            .execute(&mut connection)
            .await
            .unwrap();
        let key = get(&world, &owner, &id(&made)).await.unwrap();
        assert_eq!(
            (key.requests_last_hour, key.requests_last_day),
            expected,
            "{hours} h ago"
        );
        assert!(key.last_used_at.is_some());
    }
    // More than the number holds.
    sqlx::query("UPDATE identity.api_key_uses SET hour = date_trunc('hour', clock_timestamp(), 'UTC'), requests = 9e18")
        .execute(&mut connection)
        .await
        .unwrap();
    let key = get(&world, &owner, &id(&made)).await.unwrap();
    assert_eq!(key.requests_last_day, i32::MAX);
}

/// The tables that could hold a secret, as text.
async fn dump(world: &World) -> String {
    let mut connection = PgConnection::connect(world.database.superuser_url().as_str())
        .await
        .unwrap();
    let mut text = String::new();
    for table in ["api_keys", "request_record", "outbox"] {
        let query =
            format!("SELECT coalesce(string_agg(t::text, E'\\n'), '') FROM identity.{table} t");
        text += &sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(query))
            .fetch_one(&mut connection)
            .await
            .unwrap();
    }
    text
}

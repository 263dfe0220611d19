//! A page costs the same wherever in a long list it is.

use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};
use tenantry_proto::identity::v1 as wire;
use uuid::Uuid;

use crate::caller::Who;
use crate::world::World;

const TENANTS: usize = 1_000;
const MEMBERS: i32 = 100_000;
/// The last pages may cost so many times the first ones: what a busy machine adds, not what a longer way would.
const MOST: f64 = 5.0;
/// Each page is asked for so often; the fastest counts.
const TRIES: usize = 3;
const VIEW_WITHIN: Duration = Duration::from_secs(20);

/// Compares the last tenth of the pages with the first.
fn assert_flat(what: &str, pages: &[Duration]) {
    let tenth = (pages.len() / 10).max(2);
    let median = |pages: &[Duration]| {
        let mut pages = pages.to_vec();
        pages.sort_unstable();
        pages[pages.len() / 2].as_secs_f64() * 1_000.0
    };
    let (first, last) = (
        median(&pages[..tenth]),
        median(&pages[pages.len() - tenth..]),
    );
    let ratio = last / first;
    println!(
        "{what}: {} pages, first {first:.2} ms, last {last:.2} ms, ratio {ratio:.2}",
        pages.len()
    );
    assert!(ratio < MOST, "{what}: {ratio:.2}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_with_a_hundred_thousand_members_lists_them_at_a_flat_cost() {
    let world = World::start().await;
    let acme = world.tenant("acme", None).await;
    let mut connection = PgConnection::connect(world.database.superuser_url().as_str())
        .await
        .unwrap();
    sqlx::query(
        "WITH people AS (
             INSERT INTO identity.users (id, email, name)
             SELECT gen_random_uuid(), 'p' || n || '@example.com', 'p' FROM generate_series(1, $2) AS n
             RETURNING id, email, name
         )
         INSERT INTO identity.memberships (tenant_id, user_id, email, name, roles)
         SELECT $1, id, email, name, '{member}' FROM people",
    )
    .bind(acme.uuid())
    .bind(MEMBERS)
    .execute(&mut connection)
    .await
    .unwrap();
    let operator = Who::bearer(&world.operator).at(acme);
    let (mut costs, mut count, mut token) = (Vec::new(), 0, String::new());
    loop {
        let mut best = Duration::MAX;
        let mut page = wire::ListMembersResponse::default();
        for _ in 0..TRIES {
            let request = wire::ListMembersRequest {
                page_size: 1_000,
                page_token: token.clone(),
                ..Default::default()
            };
            let ask = world.ask(&operator, request).await.unwrap();
            let began = Instant::now();
            let answer = world.members().list_members(ask).await.unwrap();
            best = best.min(began.elapsed());
            page = answer.into_inner();
        }
        costs.push(best);
        count += page.users.len();
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(count, usize::try_from(MEMBERS).unwrap());
    assert_flat("members of a tenant", &costs);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_in_a_thousand_tenants_lists_them_at_a_flat_cost() {
    let world = World::start().await;
    let first = world.tenant("first", None).await;
    world.member(first, "ann@example.com", "member").await;
    let further: Vec<_> = (1..TENANTS)
        .map(|n| world.registry.add(&format!("tenant-{n}"), None))
        .collect();
    let last = Who::bearer(&world.operator).at(*further.last().unwrap());
    let began = Instant::now();
    while world.assertion(&last).await.unwrap().tenant.is_none() {
        assert!(
            began.elapsed() < VIEW_WITHIN,
            "identity doesn't hear of the tenants"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut connection = PgConnection::connect(world.database.superuser_url().as_str())
        .await
        .unwrap();
    sqlx::query(
        "INSERT INTO identity.memberships (tenant_id, user_id, email, name, roles)
         SELECT t, u.id, u.email, u.name, '{member}' FROM identity.users AS u, unnest($1::uuid[]) AS t
         WHERE u.email = 'ann@example.com'",
    )
    .bind(further.iter().map(|id| id.uuid()).collect::<Vec<Uuid>>())
    .execute(&mut connection)
    .await
    .unwrap();
    let ann = Who::bearer(&world.login("ann@example.com").await.access_token);
    let (mut costs, mut count, mut token) = (Vec::new(), 0, String::new());
    loop {
        let mut best = Duration::MAX;
        let mut page = wire::ListUserMembershipsResponse::default();
        for _ in 0..TRIES {
            let request = wire::ListUserMembershipsRequest {
                user: "me".to_owned(),
                page_size: 50,
                page_token: token.clone(),
            };
            let ask = world.ask(&ann, request).await.unwrap();
            let began = Instant::now();
            let answer = world.members().list_user_memberships(ask).await.unwrap();
            best = best.min(began.elapsed());
            page = answer.into_inner();
        }
        costs.push(best);
        count += page.memberships.len();
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(count, TENANTS);
    assert_flat("tenants of a user", &costs);
}

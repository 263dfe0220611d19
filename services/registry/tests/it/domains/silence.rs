//! Domains whose DNS is silent: whom they hold up, and whom not.

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use sqlx::PgConnection;
use tenantry_core::Reason;
use tenantry_proto::registry::v1::Tenant;
use tenantry_testkit::wait;

use super::{becomes, create, get, publish, verify};
use crate::support::{SOON, World, reason};

#[tokio::test]
async fn a_tenants_names_whose_dns_is_silent_hold_up_no_other_tenants_however_many_they_are() {
    /// More than a replica looks for at once, three times over.
    const SILENT: usize = 50;
    let world = World::start().await;
    let (silent, other) = (world.tenant("Silent").await, world.tenant("Other").await);
    for n in 0..SILENT {
        let domain = create(&world, &silent, &format!("silent{n}.com")).await;
        let challenge = domain.challenge.unwrap();
        world.dns.keep_silent(&challenge.record_name).unwrap();
    }
    let domain = create(&world, &other, "acme.com").await;
    publish(&world, &[&domain]).await;
    let mut owner = world.owner().await;
    // Some of them shall be looked for before the other tenant's is due.
    let all_due = "UPDATE domains SET next_check_at = clock_timestamp() - interval '1 hour' WHERE name LIKE 'silent%'";
    sqlx::query(all_due).execute(&mut owner).await.unwrap();
    wait::until("look for a silent name", SOON, async || {
        Ok((taken(&mut owner, &silent).await > 0).then_some(()))
    })
    .await
    .unwrap();
    becomes(&world, &other, "acme.com", "verified").await;
    let taken = taken(&mut owner, &silent).await;
    assert!(
        taken < 16,
        "{taken} looks for one tenant's names came first"
    );
}

/// How many of a tenant's domains are looked for, or were.
async fn taken(owner: &mut PgConnection, tenant: &Tenant) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM domains WHERE tenant_id = $1::uuid AND next_check_at > clock_timestamp()",
    )
    .bind(&tenant.id)
    .fetch_one(owner)
    .await
    .unwrap()
}

#[tokio::test]
async fn so_many_wait_for_one_tenants_silent_dns_at_once_and_no_other_tenant_waits_for_them() {
    const MOST_OF_ONE: usize = 8;
    let world = World::start().await;
    let (silent, other) = (world.tenant("Silent").await, world.tenant("Other").await);
    let domain = create(&world, &silent, "silent.com").await;
    let challenge = domain.challenge.unwrap();
    world.dns.keep_silent(&challenge.record_name).unwrap();
    let domain = create(&world, &other, "acme.com").await;
    publish(&world, &[&domain]).await;

    let attempts = (0..=MOST_OF_ONE).map(|_| verify(&world, &silent, "silent.com"));
    let mut attempts: FuturesUnordered<_> = attempts.collect();
    // Who finds no place is told so at once, while the others wait.
    let over = attempts.next().await.unwrap().unwrap_err();
    assert_eq!(reason(&over), Reason::Overloaded);
    assert!(over.message().contains("of this tenant"), "{over}");
    verify(&world, &other, "acme.com").await.unwrap();
    while let Some(refused) = attempts.next().await {
        assert_eq!(reason(&refused.unwrap_err()), Reason::DomainNotVerified);
    }
}

#[tokio::test]
async fn names_that_nobody_answers_for_take_a_quarter_of_the_looks_whosever_they_are() {
    /// More tenants than a replica looks for at once.
    const SILENT: usize = 20;
    const MOST_SILENT: i64 = 4;
    let world = World::start().await;
    for n in 0..SILENT {
        let tenant = world.tenant(&format!("Silent {n}")).await;
        let domain = create(&world, &tenant, &format!("silent{n}.com")).await;
        let challenge = domain.challenge.unwrap();
        world.dns.keep_silent(&challenge.record_name).unwrap();
    }
    let other = world.tenant("Other").await;
    let domain = create(&world, &other, "acme.com").await;
    publish(&world, &[&domain]).await;
    let mut owner = world.owner().await;
    let all_due = "UPDATE domains
         SET next_check_at = clock_timestamp() - make_interval(hours => (name <> 'acme.com')::int),
             unanswered = (name <> 'acme.com')::int";
    sqlx::query(all_due).execute(&mut owner).await.unwrap();
    // Due last, and looked for while the first of the others are still waited for.
    wait::until("look for the other name", SOON, async || {
        let domain = get(&world, &other, "acme.com").await;
        Ok((domain.status == "verified").then_some(()))
    })
    .await
    .unwrap();
    let taken = "SELECT count(*) FROM domains WHERE name LIKE 'silent%' AND next_check_at > clock_timestamp()";
    let taken: i64 = sqlx::query_scalar(taken)
        .fetch_one(&mut owner)
        .await
        .unwrap();
    // On a busy machine a second round of them may have begun.
    assert!(
        (MOST_SILENT..=2 * MOST_SILENT).contains(&taken),
        "{taken} looks for silent names were begun"
    );
}

//! What one caller asks too much of the gateway's question, and others don't feel.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::join_all;
use tenantry_testkit::wait;

use crate::caller::Who;
use crate::registry::{SILENT, YOUNG};
use crate::world::World;

/// Requests of the flood: several times what one may cause.
const FLOOD: usize = 200;
/// Longest time until the flood has come to registry.
const COMES_WITHIN: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_one_sessions_absent_names_leaves_anothers_cold_check_its_answer() {
    let world = World::start().await;
    let acme = world.tenant("acme", None).await;
    let flooding = world.member(acme, "ann@example.com", "member").await;
    let cold = world.member(acme, "bob@example.com", "member").await;
    let operator = Who::bearer(&world.operator);
    let before = world.registry.looked_up.load(Ordering::Relaxed);
    let flood = join_all((0..FLOOD).map(|n| {
        let who = flooding
            .clone()
            .with("x-tenant-slug", &format!("{SILENT}-{n}"));
        let world = &world;
        async move { world.reason(&who).await }
    }));
    let others = async {
        wait::until("flood", COMES_WITHIN, async || {
            let looked_up = world.registry.looked_up.load(Ordering::Relaxed);
            Ok((looked_up > before).then_some(()))
        })
        .await
        .unwrap();
        assert_eq!(world.assertion(&cold).await.unwrap().tenant, Some(acme));
        let young = world.registry.add(YOUNG, None, &[]);
        let there = world.assertion(&operator.clone().at(young)).await.unwrap();
        assert_eq!(there.tenant, Some(young));
    };
    let (reasons, ()) = tokio::join!(flood, others);
    // Its share waited until it was told that registry doesn't answer.
    let told = |reason: &str| reasons.iter().filter(|told| *told == reason).count();
    assert!(told("OVERLOADED") > 0, "{reasons:?}");
    assert!(told("UNAVAILABLE") > 0, "{reasons:?}");
    assert_eq!(told("OVERLOADED") + told("UNAVAILABLE"), FLOOD);
    // Nor does what timed out just now mean that registry is lost: the feed comes.
    let younger = world.registry.add(&format!("{YOUNG}er"), None, &[]);
    let there = world.assertion(&operator.at(younger)).await.unwrap();
    assert_eq!(there.tenant, Some(younger));
}

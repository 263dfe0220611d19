//! Whose requests take whose places.

use super::*;
use crate::stack::load::{
    GLANCES, MOST, MOST_OF_NETWORK, MOST_OF_ONE, MOST_OF_SITE, MOST_OF_STRANGERS, MOST_QUESTIONS,
    REFRESH,
};

const LOOKUP: &str = "/tenantry.internal.registry.v1.TenantFeedService/LookupTenant";
const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";
const HEALTH: &str = "/grpc.health.v1.Health/Check";

#[tokio::test]
async fn one_tenants_burst_takes_its_share_and_others_are_answered() {
    let fleet = Fleet::new();
    let (a, b) = (
        fleet.acts_in(TenantId::new()),
        fleet.acts_in(TenantId::new()),
    );
    let burst = fleet.hanging(&a, MOST_OF_ONE);
    let refused = fleet.ask(request(GET, &a)).await.unwrap();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(refused.metadata().get("retry-after").unwrap(), "1");
    assert!(fleet.is_answered(GET, &b).await, "another tenant");
    drop(burst);
    assert!(
        fleet.is_answered(GET, &a).await,
        "its places are free again"
    );
}

#[tokio::test]
async fn what_the_fleet_itself_asks_is_answered_when_callers_have_taken_all_places() {
    let fleet = Fleet::new();
    let mut bursts = Vec::new();
    for _ in 0..MOST / MOST_OF_ONE {
        bursts.extend(fleet.hanging(&fleet.acts_in(TenantId::new()), MOST_OF_ONE));
    }
    let other = fleet.acts_in(TenantId::new());
    let refused = fleet.ask(request(GET, &other)).await.unwrap();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    for exempt in [CHECK, HEALTH] {
        assert!(fleet.is_answered(exempt, "").await, "{exempt}");
    }
    assert!(fleet.is_answered(LOOKUP, &fleet.service()).await);
    assert!(
        !fleet.is_answered(LOOKUP, &other).await,
        "a caller's assertion opens no way around the bound"
    );
    drop(bursts);
    assert!(fleet.is_answered(GET, &other).await);
}

#[tokio::test]
async fn one_principal_takes_its_share_in_whichever_tenants() {
    let fleet = Fleet::new();
    let one = UserId::new().uuid();
    let burst: Vec<_> = (0..MOST_OF_ONE)
        .map(|_| fleet.hang(request(GET, &fleet.acts(one, TenantId::new()))))
        .collect();
    let refused = fleet.ask(request(GET, &fleet.acts(one, TenantId::new())));
    assert_eq!(refused.await.unwrap().code(), Code::ResourceExhausted);
    let other = fleet.acts_in(TenantId::new());
    assert!(fleet.is_answered(GET, &other).await, "someone else");
    drop(burst);
}

/// Sign-ins under way: as many as there may be, of so many networks at so many sites.
fn sign_ins_that_hang(fleet: &Fleet) -> Vec<UnderWay> {
    let all = (0..MOST_OF_STRANGERS).map(|n| {
        let (site, network) = (n / MOST_OF_NETWORK, n % MOST_OF_NETWORK);
        fleet.hang(stranger(
            LOGIN,
            &format!("2001:db8:f{site:x}:{network:x}::1"),
        ))
    });
    all.collect()
}

#[tokio::test]
async fn strangers_take_no_place_of_those_who_signed_in_and_a_network_its_share() {
    let fleet = Fleet::new();
    let burst: Vec<_> = (0..MOST_OF_NETWORK)
        .map(|n| fleet.hang(stranger(LOGIN, &format!("2001:db8::{n:x}"))))
        .collect();
    let refused = fleet.ask(stranger(LOGIN, "2001:db8::ffff")).await.unwrap();
    assert_eq!(refused.code(), Code::ResourceExhausted, "one network");
    assert!(
        fleet.ask(stranger(LOGIN, "2001:db8:1::1")).await.is_none(),
        "another"
    );
    drop(burst);
    let all = sign_ins_that_hang(&fleet);
    let refused = fleet.ask(stranger(LOGIN, "2001:db8:1::1")).await.unwrap();
    assert_eq!(refused.code(), Code::ResourceExhausted, "all networks");
    let customer = fleet.acts_in(TenantId::new());
    assert!(fleet.is_answered(GET, &customer).await, "who signed in");
    drop(all);
}

#[tokio::test]
async fn whoever_has_many_networks_takes_the_share_of_a_site() {
    let fleet = Fleet::new();
    let burst: Vec<_> = (0..MOST_OF_SITE)
        .map(|n| fleet.hang(stranger(LOGIN, &format!("2001:db8:5:{n:x}::1"))))
        .collect();
    let refused = fleet.ask(stranger(LOGIN, "2001:db8:5:ffff::1")).await;
    assert_eq!(refused.unwrap().code(), Code::ResourceExhausted);
    assert!(fleet.ask(stranger(LOGIN, "2001:db8:6::1")).await.is_none());
    drop(burst);
}

#[tokio::test]
async fn sessions_go_on_and_the_fleets_state_is_told_when_sign_ins_take_all_their_places() {
    let fleet = Fleet::new();
    let sign_ins = sign_ins_that_hang(&fleet);
    for path in [REFRESH].iter().chain(GLANCES) {
        let answered = fleet.ask(stranger(path, "2001:db8:1::1")).await.is_none();
        assert!(answered, "{path}");
    }
    drop(sign_ins);
}

#[tokio::test]
async fn health_is_answered_when_the_gateway_asks_as_much_as_it_may() {
    let fleet = Fleet::new();
    let questions: Vec<_> = (0..MOST_QUESTIONS)
        .map(|_| fleet.hang(request(CHECK, "")))
        .collect();
    assert!(!fleet.is_answered(CHECK, "").await);
    assert!(fleet.is_answered(HEALTH, "").await);
    assert!(fleet.is_answered(LOOKUP, &fleet.service()).await);
    drop(questions);
}

//! Domains at the gateway: a verified one of its own, and the platform's subdomain, select a tenant, and never widen what a
//! credential reaches.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};
use tenantry_testkit::dns::DnsServer;
use tenantry_testkit::fleet::{Fleet, FleetConfig, sign_in};
use tenantry_testkit::rest::Rest;

use crate::purge::gone;
use crate::support::world::{PASSWORD, Party, add_user, create_tenant, text};
use crate::support::{OwnFleet, fleet, unique};

/// The promise.
const WITHIN: Duration = Duration::from_secs(1);
/// So many answers in a row come from both replicas.
const IN_A_ROW: usize = 8;

/// A fleet whose registry asks a name server of the test's.
async fn start() -> Result<(OwnFleet, DnsServer)> {
    let dns = DnsServer::start().await?;
    let fleet = OwnFleet::start(FleetConfig {
        service_environment: vec![(
            "registry",
            "TENANTRY_DNS_SERVERS",
            dns.address().to_string(),
        )],
        ..FleetConfig::replicas(2)
    })
    .await?;
    Ok((fleet, dns))
}

/// Adds a domain by its owner, and publishes its record.
async fn add(fleet: &Fleet, dns: &DnsServer, party: &Party, name: &str) -> Result<Value> {
    let domains = format!("/api/v1/tenants/{}/domains", party.id);
    let owner = party.rest(fleet)?;
    let domain = owner.post(&domains, json!({"domain": name})).await?.ok()?;
    let challenge = &domain["challenge"];
    let (name, value) = (
        text(challenge, "record_name"),
        text(challenge, "record_value"),
    );
    dns.set_txt(&name, &[&value]).await?;
    Ok(domain)
}

/// Waits, at most the promise, until a request by this host is answered so, several times in a row.
async fn becomes(rest: &Rest, host: &str, path: &str, fits: impl Fn(&Value) -> bool) -> Result<()> {
    let (began, mut in_a_row) = (Instant::now(), 0);
    while in_a_row < IN_A_ROW {
        let asked = began.elapsed();
        let answer = rest.clone().header("host", host).get(path).await?;
        if fits(&answer.json()) {
            in_a_row += 1;
        } else {
            in_a_row = 0;
            assert!(asked < WITHIN, "after {asked:?} still {}", answer.text);
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verified_domain_selects_its_tenant_within_a_second_and_gives_no_reach() -> Result<()> {
    let (fleet, dns) = start().await?;
    let (a, b) = (Party::create(&fleet).await?, Party::create(&fleet).await?);
    let host = format!("{}.example.com", unique("app"));
    add(&fleet, &dns, &a, &host).await?;
    // Someone of both tenants, who has to say which.
    let email = format!("{}@example.com", unique("both"));
    let operator = fleet.operator_rest()?;
    let user = add_user(&operator, &a.id, &email, "member").await?;
    let path = format!("/api/v1/tenants/{}/users/{user}", b.id);
    operator
        .post(&path, json!({"roles": ["member"]}))
        .await?
        .ok()?;
    let both = sign_in(&fleet.rest()?, &email, PASSWORD).await?;
    let both = fleet.rest()?.bearer(&both);

    let current = "/api/v1/tenants/current";
    let refused = both.clone().header("host", &host).get(current).await?;
    assert_eq!(refused.reason(), "TENANT_REQUIRED", "not verified yet");
    let verify = format!("/api/v1/tenants/{}/domains/{host}:verify", a.id);
    let verified = a.rest(&fleet)?.post(&verify, json!({})).await?.ok()?;
    assert_eq!(verified["status"], "verified");
    becomes(&both, &host, current, |answer| {
        answer["id"] == a.id.as_str()
    })
    .await?;

    // It selects, and gives nothing.
    let by_domain = b.rest(&fleet)?.header("host", &host).get(current).await?;
    assert_eq!(
        (by_domain.status, by_domain.reason()),
        (404, "TENANT_NOT_FOUND".to_owned())
    );
    let two = both
        .clone()
        .header("host", &host)
        .header("x-tenant-id", &b.id)
        .get(current)
        .await?;
    assert_eq!(two.reason(), "TENANT_CONFLICT");
    // A newcomer who claims it without a record of its own gets nothing.
    let claims = format!("/api/v1/tenants/{}/domains", b.id);
    let newcomer = b.rest(&fleet)?;
    newcomer
        .post(&claims, json!({"domain": host}))
        .await?
        .ok()?;
    let refused = newcomer
        .post(&format!("{claims}/{host}:verify"), json!({}))
        .await?;
    assert_eq!(refused.reason(), "DOMAIN_NOT_VERIFIED");

    let gone = format!("/api/v1/tenants/{}/domains/{host}", a.id);
    a.rest(&fleet)?.delete(&gone).await?.ok()?;
    becomes(&both, &host, current, |answer| answer.get("id").is_none()).await?;
    fleet.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purged_tenants_slug_key_link_and_domain_are_dead_for_a_newcomer() -> Result<()> {
    let (fleet, dns) = start().await?;
    let operator = fleet.operator_rest()?;
    let made = create_tenant(&operator, json!({"name": "A", "slug": unique("left")})).await?;
    let (left, slug) = (text(&made, "id"), text(&made, "slug"));
    let newcomer = Party::create(&fleet).await?;
    let own = format!("/api/v1/tenants/{left}");

    let host = format!("{}.example.com", unique("app"));
    let domain = json!({"domain": host});
    let domain = operator.post(&format!("{own}/domains"), domain).await?;
    let challenge = &domain.ok()?["challenge"];
    let value = text(challenge, "record_value");
    dns.set_txt(&text(challenge, "record_name"), &[&value])
        .await?;
    let verify = format!("{own}/domains/{host}:verify");
    operator.post(&verify, json!({})).await?.ok()?;
    let current = "/api/v1/tenants/current";
    becomes(&operator, &host, current, |answer| {
        answer["id"] == left.as_str()
    })
    .await?;
    let key = json!({"name": "ci", "permissions": ["tenants.read"]});
    let key = operator.post(&format!("{own}/api-keys"), key).await?.ok()?;
    let key = fleet.rest()?.header("x-api-key", &text(&key, "secret"));
    assert_eq!(key.get(&own).await?.status, 200);
    let email = format!("{}@example.com", unique("invited"));
    let invite = json!({"email": email, "roles": ["owner"]});
    operator
        .post(&format!("{own}/users/invite"), invite)
        .await?
        .ok()?;
    let link = fleet.post().nth(&email, 1).await?.token().to_owned();

    let purge = format!("{own}:purge");
    operator.post(&purge, json!({"force": true})).await?.ok()?;
    gone(&operator, &left).await?;

    let offered = json!({"name": "Newcomer", "slug": slug});
    let taken = operator.post("/api/v1/tenants", offered).await?;
    assert_eq!((taken.status, taken.reason().as_str()), (409, "SLUG_TAKEN"));
    for path in [&own, "/api/v1/auth/me"] {
        assert_eq!(key.get(path).await?.status, 401, "{path}");
    }
    let link = format!("/api/v1/invitations/{link}");
    let chosen = json!({"password": PASSWORD});
    let accepted = fleet
        .rest()?
        .post(&format!("{link}:accept"), chosen)
        .await?;
    assert_eq!(accepted.reason(), "INVITATION_NOT_FOUND");
    // The domain selects nothing, and what is left of its record makes it nobody's.
    becomes(&operator, &host, current, |answer| {
        answer.to_string().contains("TENANT_REQUIRED")
    })
    .await?;
    let owner = newcomer.rest(&fleet)?;
    let claims = format!("/api/v1/tenants/{}/domains", newcomer.id);
    owner.post(&claims, json!({"domain": host})).await?.ok()?;
    let verify = format!("{claims}/{host}:verify");
    let refused = owner.post(&verify, json!({})).await?;
    assert_eq!(refused.reason(), "DOMAIN_NOT_VERIFIED");
    fleet.stop().await
}

/// The platform's subdomain that a tenant is shown.
async fn shown(rest: &Rest, tenant: &str) -> Result<String> {
    let path = format!("/api/v1/tenants/{tenant}/domains");
    let domains = rest.get(&path).await?.ok()?;
    assert_eq!(domains["domains"][0]["kind"], "platform");
    Ok(text(&domains["domains"][0], "domain"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_of_every_project_are_reached_at_the_subdomain_that_they_are_shown() -> Result<()> {
    let fleet = fleet().await?;
    let operator = fleet.operator_rest()?;
    let (project, slug) = (unique("project"), unique("same"));
    let made = operator.post("/api/v1/projects", json!({"key": project}));
    made.await?.ok()?;
    let current = "/api/v1/tenants/current";
    let mut tenants = Vec::new();
    for project in ["default", &project] {
        let body = json!({"name": "Same", "slug": slug, "project": project});
        let id = text(&create_tenant(&operator, body).await?, "id");
        let host = shown(&operator, &id).await?;
        let reached = operator.clone().header("host", &host).get(current).await?;
        assert_eq!(reached.ok()?["id"], id.as_str(), "{host}");
        tenants.push((id, host));
    }
    let [(first, at_first), (second, at_second)] = tenants.as_slice() else {
        unreachable!("two were made")
    };
    assert_eq!(
        *at_second,
        at_first.replacen('.', &format!(".{project}."), 1)
    );

    // A program of either reaches its own, whatever the case of letters, and the other's host as one of nobody's.
    for (own, host, foreign) in [(first, at_first, at_second), (second, at_second, at_first)] {
        let key = json!({"name": "ci", "permissions": ["tenants.read"]});
        let keys = format!("/api/v1/tenants/{own}/api-keys");
        let key = operator.post(&keys, key).await?.ok()?;
        let key = fleet.rest()?.header("x-api-key", &text(&key, "secret"));
        for host in [host.clone(), host.to_uppercase(), format!("{host}.")] {
            let reached = key.clone().header("host", &host).get(current).await?;
            assert_eq!(reached.ok()?["id"], own.as_str(), "{host}");
        }
        let absent = foreign.replacen(&slug, &unique("absent"), 1);
        let foreign = key.clone().header("host", foreign).get(current).await?;
        let absent = key.header("host", &absent).get(current).await?;
        assert_eq!(foreign.reason(), "TENANT_NOT_FOUND");
        assert_eq!(
            (foreign.status, &foreign.text),
            (absent.status, &absent.text)
        );
    }

    // The host says the project: a path of the same slug is of that one, a header of another is a second one.
    let by_host = operator.clone().header("host", at_second);
    let by_both = by_host.get(&format!("/api/v1/tenants/{slug}")).await?;
    assert_eq!(by_both.ok()?["id"], second.as_str());
    let conflict = by_host.header("x-project", "default").get(current).await?;
    assert_eq!(conflict.reason(), "TENANT_CONFLICT");
    let named = operator
        .header("host", at_second)
        .header("x-tenant-id", first);
    assert_eq!(named.get(current).await?.reason(), "TENANT_CONFLICT");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_sign_in_in_the_project_of_the_host_that_they_come_to() -> Result<()> {
    let fleet = fleet().await?;
    let operator = fleet.operator_rest()?;
    let (project, slug) = (unique("project"), unique("same"));
    let made = operator.post("/api/v1/projects", json!({"key": project}));
    made.await?.ok()?;
    let (email, password) = (
        format!("{}@example.com", unique("ada")),
        "a long enough secret",
    );
    let mut hosts = Vec::new();
    for project in ["default", &project] {
        let body = json!({"name": "Same", "slug": slug, "project": project});
        let id = text(&create_tenant(&operator, body).await?, "id");
        let user = json!({"email": email, "password": password, "roles": ["member"]});
        let users = format!("/api/v1/tenants/{id}/users");
        operator.post(&users, user).await?.ok()?;
        hosts.push((shown(&operator, &id).await?, id));
    }
    let login = json!({"email": email, "password": password, "tenant": slug});
    for (host, id) in &hosts {
        let at_host = fleet.rest()?.header("host", host);
        let pair = at_host.post("/api/v1/auth/login", login.clone()).await?;
        let token = text(&pair.ok()?, "access_token");
        let me = fleet.rest()?.bearer(&token).get("/api/v1/auth/me").await?;
        assert_eq!(me.ok()?["tenant_id"], id.as_str(), "{host}");
    }
    let mut elsewhere = login;
    elsewhere["project"] = json!("default");
    let at_second = fleet.rest()?.header("host", &hosts[1].0);
    let refused = at_second.post("/api/v1/auth/login", elsewhere).await?;
    assert_eq!(refused.reason(), "TENANT_CONFLICT");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenants_subdomain_never_stands_above_those_of_a_project() -> Result<()> {
    let fleet = fleet().await?;
    let operator = fleet.operator_rest()?;
    let (project, slug) = (unique("project"), unique("slug"));
    let projects = "/api/v1/projects";
    operator
        .post(projects, json!({"key": project}))
        .await?
        .ok()?;
    let tenant = json!({"name": "Above", "slug": project});
    let above = operator.post("/api/v1/tenants", tenant).await?;
    assert_eq!((above.status, above.reason().as_str()), (409, "SLUG_TAKEN"));
    create_tenant(&operator, json!({"name": "First", "slug": slug})).await?;
    let below = operator.post(projects, json!({"key": slug})).await?;
    assert_eq!((below.status, below.reason().as_str()), (409, "SLUG_TAKEN"));
    Ok(())
}

//! Custom domains against a real DNS server: shown by a record, one tenant's alone, lost with the record.

mod looks;
mod silence;

use sqlx::PgConnection;
use tenantry_core::{Permission as P, Reason};
use tenantry_proto::registry::v1::{
    CreateDomainRequest, DeleteDomainRequest, Domain, GetDomainRequest, GetTenantRequest,
    ListDomainsRequest, Tenant, VerifyDomainRequest,
};
use tenantry_testkit::wait;

use crate::support::{Replica, SOON, World, member, operator, reason, why};

const MANAGER: &[P] = &[P::TenantsRead, P::DomainsRead, P::DomainsManage];

async fn create(replica: &Replica, tenant: &Tenant, name: &str) -> Domain {
    let request = CreateDomainRequest {
        tenant: tenant.id.clone(),
        domain: name.to_owned(),
        ..Default::default()
    };
    let mut domains = replica.domains(&member(tenant, MANAGER));
    domains.create_domain(request).await.unwrap().into_inner()
}

async fn verify(replica: &Replica, tenant: &Tenant, name: &str) -> Result<Domain, tonic::Status> {
    let request = VerifyDomainRequest {
        tenant: tenant.id.clone(),
        domain: name.to_owned(),
        ..Default::default()
    };
    let mut domains = replica.domains(&member(tenant, MANAGER));
    Ok(domains.verify_domain(request).await?.into_inner())
}

async fn get(replica: &Replica, tenant: &Tenant, name: &str) -> Domain {
    let request = GetDomainRequest {
        tenant: tenant.id.clone(),
        domain: name.to_owned(),
    };
    let mut domains = replica.domains(&member(tenant, MANAGER));
    domains.get_domain(request).await.unwrap().into_inner()
}

/// The domains that name the tenant now.
async fn names(replica: &Replica, tenant: &Tenant) -> Vec<String> {
    let request = GetTenantRequest {
        tenant: tenant.id.clone(),
    };
    let mut tenants = replica.tenants(&operator());
    tenants
        .get_tenant(request)
        .await
        .unwrap()
        .into_inner()
        .domains
}

/// Publishes the challenges of these domains, and nothing else, at their common name.
async fn publish(world: &World, domains: &[&Domain]) {
    let challenges: Vec<_> = domains
        .iter()
        .filter_map(|d| d.challenge.as_ref())
        .collect();
    let values: Vec<&str> = challenges.iter().map(|c| c.record_value.as_str()).collect();
    let name = &challenges[0].record_name;
    world.dns.set_txt(name, &values).await.unwrap();
}

async fn unpublish(world: &World, domain: &Domain) {
    let challenge = domain.challenge.as_ref().unwrap();
    let name = &challenge.record_name;
    world.dns.set_txt(name, &["v=spf1 -all"]).await.unwrap();
}

/// What happened to a tenant, attempts in vain left out.
async fn actions(owner: &mut PgConnection, tenant: &Tenant) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT action FROM outbox WHERE tenant_id = $1::uuid AND NOT event ? 'outcome' ORDER BY n",
    )
    .bind(&tenant.id)
    .fetch_all(owner)
    .await
    .unwrap()
}

/// Makes a domain due now, and returns once a replica's regular look brought it here.
async fn becomes(world: &World, tenant: &Tenant, name: &str, status: &str) {
    let mut owner = world.owner().await;
    sqlx::query(
        "UPDATE domains SET next_check_at = clock_timestamp() WHERE tenant_id = $1::uuid AND name = $2",
    )
    .bind(&tenant.id)
    .bind(name)
    .execute(&mut owner)
    .await
    .unwrap();
    wait::until(status, SOON, async || {
        Ok((get(world, tenant, name).await.status == status).then_some(()))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_record_shows_a_domain_to_be_the_tenants_on_every_replica() {
    let world = World::start().await;
    let second = world.replica().await;
    let tenant = world.tenant("Acme").await;
    let domain = create(&world, &tenant, "App.Acme.com").await;
    assert_eq!(
        (domain.domain.as_str(), domain.status.as_str()),
        ("app.acme.com", "pending")
    );
    let refused = verify(&second, &tenant, "app.acme.com").await.unwrap_err();
    assert_eq!(reason(&refused), Reason::DomainNotVerified);
    assert!(
        get(&world, &tenant, "app.acme.com")
            .await
            .problem
            .contains("no TXT record")
    );
    assert_eq!(names(&world, &tenant).await, Vec::<String>::new());

    publish(&world, &[&domain]).await;
    let verified = verify(&second, &tenant, "APP.acme.com.").await.unwrap();
    assert_eq!(
        (verified.status.as_str(), verified.problem.as_str()),
        ("verified", "")
    );
    assert_eq!(names(&world, &tenant).await, ["app.acme.com"]);
    let again = verify(&world, &tenant, "app.acme.com").await.unwrap();
    assert_eq!(again.verified_at, verified.verified_at);

    let request = DeleteDomainRequest {
        tenant: tenant.id.clone(),
        domain: "app.acme.com".to_owned(),
        request_id: "gone".to_owned(),
    };
    let caller = member(&tenant, MANAGER);
    for replica in [&second, &*world] {
        let mut domains = replica.domains(&caller);
        domains.delete_domain(request.clone()).await.unwrap();
    }
    assert_eq!(names(&world, &tenant).await, Vec::<String>::new());
    assert_eq!(
        actions(&mut world.owner().await, &tenant).await,
        [
            "tenant.created",
            "domain.created",
            "tenant.domain_added",
            "tenant.domain_removed"
        ]
    );
}

#[tokio::test]
async fn a_domain_is_one_tenants_and_follows_the_record_that_stands() {
    let world = World::start().await;
    let (first, second) = (world.tenant("First").await, world.tenant("Second").await);
    let ours = create(&world, &first, "acme.com").await;
    publish(&world, &[&ours]).await;
    verify(&world, &first, "acme.com").await.unwrap();

    // What the first tenant published shows nothing for the second.
    let theirs = create(&world, &second, "acme.com").await;
    let refused = verify(&world, &second, "acme.com").await.unwrap_err();
    assert_eq!(reason(&refused), Reason::DomainNotVerified);
    // With both records there the first keeps it.
    publish(&world, &[&ours, &theirs]).await;
    let refused = verify(&world, &second, "acme.com").await.unwrap_err();
    assert_eq!(reason(&refused), Reason::DomainTaken);
    // Whoever has the domain now takes it over.
    publish(&world, &[&theirs]).await;
    verify(&world, &second, "acme.com").await.unwrap();
    assert_eq!(names(&world, &first).await, Vec::<String>::new());
    assert_eq!(names(&world, &second).await, ["acme.com"]);
    assert_eq!(get(&world, &first, "acme.com").await.status, "pending");
    let mut owner = world.owner().await;
    assert_eq!(
        actions(&mut owner, &first).await[2..],
        ["tenant.domain_added", "tenant.domain_removed"]
    );
}

#[tokio::test]
async fn of_many_who_verify_one_domain_at_once_one_gets_it() {
    let world = World::start().await;
    let second = world.replica().await;
    let mut asking = Vec::new();
    for n in 0..6 {
        let tenant = world.tenant(&format!("Rival {n}")).await;
        let domain = create(&world, &tenant, "acme.com").await;
        asking.push((tenant, domain));
    }
    let all: Vec<&Domain> = asking.iter().map(|(_, domain)| domain).collect();
    publish(&world, &all).await;
    let attempts = asking.iter().enumerate().map(|(n, (tenant, _))| {
        let replica = if n % 2 == 0 { &*world } else { &second };
        verify(replica, tenant, "acme.com")
    });
    let outcomes = futures::future::join_all(attempts).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for refused in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert_eq!(reason(refused), Reason::DomainTaken);
    }
    let mut named = 0;
    for (tenant, _) in &asking {
        named += names(&world, tenant).await.len();
    }
    assert_eq!(named, 1);
}

#[tokio::test]
async fn a_domain_is_looked_after_by_itself_and_lost_three_days_after_its_record() {
    let world = World::start().await;
    let _second = world.replica().await;
    let tenant = world.tenant("Acme").await;
    let domain = create(&world, &tenant, "acme.com").await;
    publish(&world, &[&domain]).await;
    becomes(&world, &tenant, "acme.com", "verified").await;
    unpublish(&world, &domain).await;
    becomes(&world, &tenant, "acme.com", "failing").await;
    assert_eq!(
        names(&world, &tenant).await,
        ["acme.com"],
        "it still names the tenant"
    );
    publish(&world, &[&domain]).await;
    becomes(&world, &tenant, "acme.com", "verified").await;
    unpublish(&world, &domain).await;
    becomes(&world, &tenant, "acme.com", "failing").await;
    sqlx::query("UPDATE domains SET failing_since = failing_since - interval '72 hours'")
        .execute(&mut world.owner().await)
        .await
        .unwrap();
    becomes(&world, &tenant, "acme.com", "pending").await;
    assert_eq!(names(&world, &tenant).await, Vec::<String>::new());
    assert_eq!(
        actions(&mut world.owner().await, &tenant).await[2..],
        [
            "tenant.domain_added",
            "domain.failing",
            "domain.recovered",
            "domain.failing",
            "tenant.domain_removed"
        ],
        "one event for each change of its status, and none for looks that change none"
    );
}

#[tokio::test]
async fn a_repeated_verification_changes_nothing_whatever_the_dns_says_by_then() {
    let world = World::start().await;
    let (first, second) = (world.tenant("First").await, world.tenant("Second").await);
    let ours = create(&world, &first, "acme.com").await;
    let theirs = create(&world, &second, "acme.com").await;
    let request = VerifyDomainRequest {
        tenant: first.id.clone(),
        domain: "acme.com".to_owned(),
        request_id: "once".to_owned(),
    };
    let mut domains = world.domains(&member(&first, MANAGER));
    publish(&world, &[&ours]).await;
    let verified = domains.verify_domain(request.clone()).await.unwrap();
    publish(&world, &[&theirs]).await;
    verify(&world, &second, "acme.com").await.unwrap();

    publish(&world, &[&ours]).await;
    let again = domains.verify_domain(request).await.unwrap();
    assert_eq!(again.into_inner(), verified.into_inner());
    assert_eq!(names(&world, &first).await, Vec::<String>::new());
    assert_eq!(names(&world, &second).await, ["acme.com"]);
    let mut owner = world.owner().await;
    for (tenant, told) in [
        (
            &first,
            &["tenant.domain_added", "tenant.domain_removed"][..],
        ),
        (&second, &["tenant.domain_added"]),
    ] {
        assert_eq!(actions(&mut owner, tenant).await[2..], *told);
    }
}

#[tokio::test]
async fn names_that_are_nobodys_to_show_and_too_many_are_refused() {
    let world = World::start().await;
    let tenant = world.tenant("Acme").await;
    let mut domains = world.domains(&member(&tenant, MANAGER));
    let mut refused = async |name: &str| {
        let request = CreateDomainRequest {
            tenant: tenant.id.clone(),
            domain: name.to_owned(),
            ..Default::default()
        };
        why(domains.create_domain(request).await)
    };
    for name in ["", "acme", "https://acme.com", "192.0.2.1", "a\0.com"] {
        assert_eq!(refused(name).await, Reason::InvalidArgument, "{name}");
    }
    for name in ["co.uk", "db.internal", "x.tenants.example.com"] {
        assert_eq!(refused(name).await, Reason::DomainReserved, "{name}");
    }
    create(&world, &tenant, "acme.com").await;
    assert_eq!(refused("ACME.com").await, Reason::DomainTaken);
    sqlx::query(
        "INSERT INTO domains (tenant_id, name, id, status, token, created_at)
         SELECT $1::uuid, 'd' || n || '.com', gen_random_uuid(), 'pending', 'x', now() FROM generate_series(1, 99) AS n",
    )
    .bind(&tenant.id)
    .execute(&mut world.owner().await)
    .await
    .unwrap();
    assert_eq!(refused("one-more.com").await, Reason::LimitReached);
}

#[tokio::test]
async fn domains_are_their_own_tenants_and_need_the_right() {
    let world = World::start().await;
    let (ours, theirs) = (world.tenant("Ours").await, world.tenant("Theirs").await);
    create(&world, &theirs, "acme.com").await;
    let list = |claims| {
        let request = ListDomainsRequest {
            tenant: String::new(),
        };
        let mut domains = world.domains(&claims);
        async move { domains.list_domains(request).await }
    };
    let own = list(member(&ours, MANAGER)).await.unwrap().into_inner();
    let own: Vec<_> = own
        .domains
        .iter()
        .map(|d| (d.kind.as_str(), d.domain.as_str()))
        .collect();
    assert_eq!(own, [("platform", "ours.tenants.example.com")]);
    let lacks = why(list(member(&ours, &[P::TenantsRead])).await);
    assert_eq!(lacks, Reason::PermissionDenied);
    let mut domains = world.domains(&member(&ours, MANAGER));
    for name in ["acme.com", "absent.com"] {
        let request = VerifyDomainRequest {
            tenant: ours.id.clone(),
            domain: name.to_owned(),
            ..Default::default()
        };
        let refused = domains.verify_domain(request).await.unwrap_err();
        assert_eq!(reason(&refused), Reason::DomainNotFound);
    }
}

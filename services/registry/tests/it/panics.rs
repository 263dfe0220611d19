//! A fault that one item of a worker's work meets each time is that item's: the process doesn't end of it, nor does the next
//! one that takes the item up, and the other items go on.

use sqlx::{AssertSqlSafe, PgConnection};
use tenantry_core::Permission as P;
use tenantry_proto::registry::v1::{
    CreateDomainRequest, CreateTenantRequest, GetDomainRequest, GetTenantImportRequest,
    GetTenantRequest, ImportTenantsRequest, PurgeTenantRequest, Tenant,
};
use tenantry_testkit::wait;

use crate::support::{SOON, World, member, named, operator};

/// A version that no change can count on from.
const POISON: &str = "UPDATE tenants SET version = 9223372036854775807 WHERE name LIKE 'Bad%'";

async fn run(owner: &mut PgConnection, sql: &'static str) {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(owner)
        .await
        .unwrap();
}

fn get(tenant: &Tenant) -> GetTenantRequest {
    GetTenantRequest {
        tenant: tenant.id.clone(),
    }
}

/// Waits until a purge has removed the tenant.
async fn purged(world: &World, tenant: &Tenant) {
    wait::until("end of the purge", SOON, async || {
        let read = world.tenants(&operator()).get_tenant(get(tenant)).await;
        Ok(read.is_err().then_some(()))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_trial_that_panics_keeps_no_other_from_its_end() {
    let world = World::start().await;
    let trial = |name| CreateTenantRequest {
        trial_days: 1,
        ..named(name)
    };
    let (_bad, good) = (
        world.create(trial("Bad")).await,
        world.create(trial("Good")).await,
    );
    let mut owner = world.owner().await;
    run(&mut owner, POISON).await;
    run(
        &mut owner,
        "UPDATE tenants SET trial_ends_at = clock_timestamp() - make_interval(hours => (name = 'Bad')::int)",
    )
    .await;
    wait::until("end of the other trial", SOON, async || {
        let read = world.tenants(&operator()).get_tenant(get(&good)).await?;
        Ok((read.into_inner().status != "trial").then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(world.tasks.lost(), None);
}

#[tokio::test]
async fn a_domain_that_panics_keeps_no_other_from_being_looked_for() {
    let world = World::start().await;
    let rights = [P::DomainsRead, P::DomainsManage];
    let mut good = None;
    for (name, domain) in [("Bad", "bad.com"), ("Good", "good.com")] {
        let tenant = world.tenant(name).await;
        let mut domains = world.domains(&member(&tenant, &rights));
        let request = CreateDomainRequest {
            tenant: tenant.id.clone(),
            domain: domain.to_owned(),
            ..Default::default()
        };
        let made = domains.create_domain(request).await.unwrap().into_inner();
        let challenge = made.challenge.unwrap();
        let value = challenge.record_value.as_str();
        world
            .dns
            .set_txt(&challenge.record_name, &[value])
            .await
            .unwrap();
        good = Some((tenant, domains));
    }
    let (tenant, mut domains) = good.unwrap();
    let mut owner = world.owner().await;
    run(&mut owner, POISON).await;
    run(
        &mut owner,
        "UPDATE domains SET next_check_at = clock_timestamp() - make_interval(hours => (name = 'bad.com')::int)",
    )
    .await;
    wait::until("look for the other domain", SOON, async || {
        let request = GetDomainRequest {
            tenant: tenant.id.clone(),
            domain: "good.com".to_owned(),
        };
        let read = domains.get_domain(request).await?.into_inner();
        Ok((read.status == "verified").then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(world.tasks.lost(), None);
}

#[tokio::test]
async fn a_purge_that_panics_as_it_starts_or_ends_keeps_no_other_back() {
    let world = World::start().await;
    let mut owner = world.owner().await;
    let (_bad, good) = (world.tenant("Bad").await, world.tenant("Good").await);
    run(&mut owner, POISON).await;
    run(
        &mut owner,
        "UPDATE tenants SET status = 'deleted', deleted_from = 'active', deleted_at = clock_timestamp(),
             purge_at = clock_timestamp() - make_interval(hours => (name = 'Bad')::int)",
    )
    .await;
    purged(&world, &good).await;

    world.keeper().set_down(true);
    let (bad, good) = (world.tenant("Bad too").await, world.tenant("Good").await);
    for tenant in [&bad, &good] {
        let request = PurgeTenantRequest {
            tenant: tenant.id.clone(),
            force: true,
            ..Default::default()
        };
        let mut tenants = world.tenants(&operator());
        tenants.purge_tenant(request).await.unwrap();
    }
    run(&mut owner, POISON).await;
    world.keeper().set_down(false);
    purged(&world, &good).await;
    assert_eq!(world.tasks.lost(), None);
}

#[tokio::test]
async fn an_import_that_panics_keeps_no_other_back() {
    let world = World::start().await;
    let mut owner = world.owner().await;
    run(
        &mut owner,
        "CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF NEW.refused_count > 0 THEN NEW.created_count := 2147483647; NEW.existing_count := 1; END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER poison BEFORE INSERT ON tenant_imports FOR EACH ROW EXECUTE FUNCTION poison();",
    )
    .await;
    let mut imports = world.imports(&operator());
    let mut start = async |content: &str| {
        let request = ImportTenantsRequest {
            format: "csv".to_owned(),
            content: content.into(),
            ..Default::default()
        };
        imports.import_tenants(request).await.unwrap().into_inner()
    };
    start("name,trial_days\nBad,many\n").await;
    wait::until("turn that came to nothing", SOON, async || {
        let failed = "SELECT count(*) FROM tenant_imports WHERE failures > 0";
        let failed: i64 = sqlx::query_scalar(failed).fetch_one(&mut owner).await?;
        Ok((failed == 1).then_some(()))
    })
    .await
    .unwrap();
    let good = start("name\nGood\n").await;
    wait::until("end of the other import", SOON, async || {
        let request = GetTenantImportRequest {
            tenant_import: good.id.clone(),
        };
        let mut imports = world.imports(&operator());
        let read = imports.get_tenant_import(request).await?.into_inner();
        Ok((read.state == "succeeded").then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(world.tasks.lost(), None);
}

//! Hard deletion: shown first, then for good, and never half done.

mod followers;

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, PgConnection};
use tenantry_core::{Permission, Reason};
use tenantry_proto::registry::v1::watch_tenants_response::Item;
use tenantry_proto::registry::v1::{
    CreateTenantRequest, DeleteTenantRequest, GetTenantRequest, PurgeReport, PurgeTenantRequest,
    Tenant, TenantChange, UpdateTenantRequest, WatchTenantsRequest, WatchTenantsResponse,
};
use tenantry_registry::TENANT_TABLES;
use tonic::Streaming;

use super::{delete, undelete};
use crate::support::{MEMBERS, Replica, World, member, named, operator, rename, soon, why};

/// Tables with a tenant's id whose rows stay: the log and its numbers outlive the tenant, and its slugs are nobody else's.
const STAYS: &[&str] = &["outbox", "outbox_counter", "slugs"];
/// Tables that a purge doesn't empty because a tenant with a row in them isn't purged.
const KEEPS: &[&str] = &["legal_holds"];
/// A table whose rows go by themselves, once the log has what it waits for.
const WAITS: &[&str] = &["relay_held"];

fn get(tenant: &Tenant) -> GetTenantRequest {
    GetTenantRequest {
        tenant: tenant.id.clone(),
    }
}

fn purge(tenant: &Tenant, force: bool) -> PurgeTenantRequest {
    PurgeTenantRequest {
        tenant: tenant.id.clone(),
        force,
        ..Default::default()
    }
}

/// A service, whether it has acknowledged, and what it counted.
type Told = (String, bool, Vec<(String, i32)>);

/// What is there of each service's part.
fn parts(report: &PurgeReport) -> Vec<Told> {
    let services = report.services.iter();
    services
        .map(|part| {
            let data = part.data.iter();
            let counts = data.map(|counted| (counted.kind.clone(), counted.count));
            (
                part.service.clone(),
                part.acknowledged_at.is_some(),
                counts.collect(),
            )
        })
        .collect()
}

async fn watch(replica: &Replica) -> Streaming<WatchTenantsResponse> {
    let mut tenants = replica.tenants(&operator());
    let request = WatchTenantsRequest::default();
    tenants.watch_tenants(request).await.unwrap().into_inner()
}

/// Waits for the purges of these tenants, and returns their last changes as they came.
async fn purged(
    stream: &mut Streaming<WatchTenantsResponse>,
    tenants: &[&Tenant],
) -> Vec<TenantChange> {
    let mut waited: BTreeSet<&str> = tenants.iter().map(|tenant| tenant.id.as_str()).collect();
    let mut changes = Vec::new();
    soon(async {
        while !waited.is_empty() {
            if let Some(Item::Change(change)) = stream.message().await.unwrap().unwrap().item
                && change.action == "tenant.purged"
            {
                waited.remove(change.tenant.as_ref().unwrap().id.as_str());
                changes.push(change);
            }
        }
    })
    .await;
    changes
}

/// Every table of the schema that has tenants' ids, by the catalogue.
async fn tables_of_tenants(conn: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
         WHERE c.relnamespace = 'registry'::regnamespace AND c.relkind IN ('r', 'p') AND a.attname = 'tenant_id'
         ORDER BY 1",
    )
    .fetch_all(conn)
    .await
    .unwrap()
}

/// The tables that hold something of a tenant.
async fn held_in(conn: &mut PgConnection, tenant: &Tenant) -> Vec<String> {
    let mut held = Vec::new();
    for table in tables_of_tenants(conn).await {
        let any = format!("SELECT EXISTS (SELECT FROM {table} WHERE tenant_id = $1::uuid)");
        let any: bool = sqlx::query_scalar(AssertSqlSafe(any))
            .bind(&tenant.id)
            .fetch_one(&mut *conn)
            .await
            .unwrap();
        if any {
            held.push(table);
        }
    }
    held
}

async fn events(conn: &mut PgConnection, tenant: &Tenant) -> Vec<String> {
    sqlx::query_scalar("SELECT action FROM outbox WHERE tenant_id = $1::uuid ORDER BY n")
        .bind(&tenant.id)
        .fetch_all(conn)
        .await
        .unwrap()
}

#[tokio::test]
async fn every_table_with_tenants_is_purged_or_reviewed_to_stay() {
    let world = World::start().await;
    let purged = TENANT_TABLES.iter().map(|table| table.name);
    let known: BTreeSet<&str> = purged.chain([STAYS, KEEPS, WAITS].concat()).collect();
    assert_eq!(
        tables_of_tenants(&mut world.owner().await).await,
        known.into_iter().collect::<Vec<_>>(),
        "put a new table into store/purges.rs, or have it reviewed into STAYS"
    );
}

#[tokio::test]
async fn without_force_a_purge_shows_what_goes_and_changes_nothing() {
    let world = World::start().await;
    let tenant = world.tenant("Acme").await;
    let mut tenants = world.tenants(&operator());
    let hard = DeleteTenantRequest {
        hard: true,
        ..delete(&tenant)
    };
    let answers = [
        tenants.purge_tenant(purge(&tenant, false)).await.unwrap(),
        tenants.delete_tenant(hard).await.unwrap(),
    ];
    for answer in answers {
        let mut shown = answer.into_inner();
        let report = shown.purge.take().unwrap();
        assert_eq!(shown, tenant);
        assert_eq!(
            (report.state.as_str(), report.started_at),
            ("preview", None)
        );
        let members = vec![("members".to_owned(), i32::try_from(MEMBERS).unwrap())];
        let parts = parts(&report);
        for (part, service) in parts.iter().zip(["identity", "audit", "quota"]) {
            assert_eq!(*part, (service.to_owned(), false, members.clone()));
        }
        assert_eq!(parts[3].0, "registry");
        assert!(parts[3].2.contains(&("tenants".to_owned(), 1)), "{parts:?}");
    }
    let read = tenants.get_tenant(get(&tenant)).await.unwrap().into_inner();
    assert_eq!((read.etag, read.purge), (tenant.etag.clone(), None));
    for keeper in [world.keeper(), world.audit(), world.quota()] {
        assert!(keeper.asked().is_empty());
    }
    assert_eq!(
        events(&mut world.owner().await, &tenant).await,
        ["tenant.created"]
    );

    world.keeper().set_down(true);
    let unknown = tenants.purge_tenant(purge(&tenant, false)).await;
    assert_eq!(why(unknown), Reason::Unavailable, "half a count is none");
    world.keeper().set_down(false);
    world.audit().set_down(true);
    let unknown = tenants.purge_tenant(purge(&tenant, false)).await;
    assert_eq!(why(unknown), Reason::Unavailable, "whichever half");
}

#[tokio::test]
async fn a_purge_runs_until_every_service_has_acknowledged_and_then_there_is_nothing() {
    let world = World::start().await;
    let tenant = world
        .create(CreateTenantRequest {
            slug: "acme".to_owned(),
            external_id: "crm-1".to_owned(),
            email: "ops@example.com".to_owned(),
            ..named("Acme")
        })
        .await;
    let other = world.tenant("Other").await;
    let mut tenants = world.tenants(&operator());
    let renamed = UpdateTenantRequest {
        slug: Some("acme-two".to_owned()),
        request_id: "rename".to_owned(),
        ..rename(&tenant, "Acme Two")
    };
    tenants.update_tenant(renamed).await.unwrap();
    let mut stream = watch(&world).await;
    world.keeper().set_down(true);

    let request = PurgeTenantRequest {
        request_id: "purge".to_owned(),
        ..purge(&tenant, true)
    };
    let started = tenants.purge_tenant(request.clone()).await.unwrap();
    let started = started.into_inner();
    assert_eq!(started.status, "deleted");
    assert_eq!(started.purge.unwrap().state, "running");
    let again = tenants.purge_tenant(request).await.unwrap().into_inner();
    assert_eq!(again.etag, started.etag, "the same purge");

    let shown = tenants.get_tenant(get(&tenant)).await.unwrap().into_inner();
    let report = shown.purge.unwrap();
    assert_eq!(report.state, "running");
    assert!(report.started_at.is_some());
    assert!(
        parts(&report)
            .iter()
            .all(|(_, acknowledged, _)| !acknowledged)
    );
    let own = member(
        &tenant,
        &[Permission::TenantsRead, Permission::TenantsUpdate],
    );
    let mut own = world.tenants(&own);
    assert_eq!(
        why(own.get_tenant(get(&tenant)).await),
        Reason::TenantNotFound
    );
    let undeleted = tenants.undelete_tenant(undelete(&tenant)).await;
    assert_eq!(
        why(undeleted),
        Reason::StatusForbids,
        "nothing takes it back"
    );
    let changed = tenants.update_tenant(rename(&tenant, "New")).await;
    assert_eq!(why(changed), Reason::StatusForbids);
    let below = CreateTenantRequest {
        parent_id: tenant.id.clone(),
        ..named("Below")
    };
    assert_eq!(
        why(tenants.create_tenant(below).await),
        Reason::ParentNotFound
    );

    world.keeper().set_turns(2);
    world.keeper().set_down(false);
    let last = purged(&mut stream, &[&tenant]).await.remove(0);
    assert_eq!(world.keeper().asked(), vec![tenant.id.clone(); 3]);
    assert_eq!(world.audit().asked(), vec![tenant.id.clone()]);
    let told = last.tenant.unwrap();
    assert_eq!(
        (told.status.as_str(), told.slug.as_str(), told.is_active),
        ("purged", "acme-two", false)
    );
    assert_eq!(
        [&told.name, &told.email, &told.external_id],
        [""; 3],
        "nothing that people wrote"
    );

    for tenant in [
        get(&tenant),
        GetTenantRequest {
            tenant: "acme-two".to_owned(),
        },
    ] {
        assert_eq!(
            why(tenants.get_tenant(tenant).await),
            Reason::TenantNotFound
        );
    }
    let purged_again = tenants.purge_tenant(purge(&tenant, true)).await;
    assert_eq!(why(purged_again), Reason::TenantNotFound);
    let mut owner = world.owner().await;
    assert_eq!(held_in(&mut owner, &tenant).await, STAYS);
    assert_eq!(
        events(&mut owner, &tenant).await,
        [
            "tenant.created",
            "tenant.updated",
            "tenant.purge_started",
            "tenant.purged"
        ]
    );
    assert!(
        held_in(&mut owner, &other)
            .await
            .contains(&"tenants".to_owned())
    );

    for slug in ["acme", "acme-two"] {
        let newcomer = CreateTenantRequest {
            slug: slug.to_owned(),
            ..named("Newcomer")
        };
        assert_eq!(
            why(tenants.create_tenant(newcomer).await),
            Reason::SlugTaken
        );
    }
    let heir = CreateTenantRequest {
        external_id: "crm-1".to_owned(),
        ..named("Heir")
    };
    assert_eq!(world.create(heir).await.external_id, "crm-1");
    let with_its_id = sqlx::query(
        "INSERT INTO tenants SELECT (jsonb_populate_record(t, jsonb_build_object('tenant_id', $1, 'external_id', NULL))).*
         FROM tenants AS t LIMIT 1",
    )
    .bind(&tenant.id)
    .execute(&mut owner)
    .await;
    assert!(with_its_id.unwrap_err().to_string().contains("was purged"));
}

#[tokio::test]
async fn a_parent_is_purged_after_its_children_deleted_ones_too() {
    let world = World::start().await;
    let parent = world.tenant("Parent").await;
    let child = world.child("Child", &parent).await;
    let mut tenants = world.tenants(&operator());
    tenants.delete_tenant(delete(&child)).await.unwrap();
    for force in [false, true] {
        let refused = tenants.purge_tenant(purge(&parent, force)).await;
        assert_eq!(why(refused), Reason::TenantHasChildren);
    }
    let mut stream = watch(&world).await;
    for tenant in [&child, &parent] {
        tenants.purge_tenant(purge(tenant, true)).await.unwrap();
        purged(&mut stream, &[tenant]).await;
    }
}

#[tokio::test]
async fn a_legal_hold_keeps_a_tenant_from_being_purged_also_at_its_time() {
    let world = World::start().await;
    let [held, free] = [world.tenant("Held").await, world.tenant("Free").await];
    let mut tenants = world.tenants(&operator());
    for tenant in [&held, &free] {
        tenants.delete_tenant(delete(tenant)).await.unwrap();
    }
    let mut owner = world.owner().await;
    let hold = r#"INSERT INTO legal_holds (tenant_id, hold_id, holder, reason, placed_by, placed_at)
                VALUES ($1::uuid, gen_random_uuid(), 'Tax office', 'audit', '{"kind": "service", "id": "00000000-0000-0000-0000-000000000000", "name": "court"}',
                    clock_timestamp())"#;
    sqlx::query(hold)
        .bind(&held.id)
        .execute(&mut owner)
        .await
        .unwrap();
    for force in [false, true] {
        let refused = tenants.purge_tenant(purge(&held, force)).await;
        assert_eq!(why(refused), Reason::LegalHold);
    }
    let mut stream = watch(&world).await;
    sqlx::query("UPDATE tenants SET purge_at = clock_timestamp()")
        .execute(&mut owner)
        .await
        .unwrap();
    purged(&mut stream, &[&free]).await;
    let held = tenants.get_tenant(get(&held)).await.unwrap().into_inner();
    assert_eq!(held.purge, None);
}

#[tokio::test]
async fn a_purge_needs_the_right_to_manage_and_the_present_etag() {
    let world = World::start().await;
    let tenant = world.tenant("Acme").await;
    let own = member(
        &tenant,
        &[Permission::TenantsRead, Permission::TenantsUpdate],
    );
    let mut own = world.tenants(&own);
    for force in [false, true] {
        let hard = DeleteTenantRequest {
            hard: true,
            force,
            ..delete(&tenant)
        };
        assert_eq!(why(own.delete_tenant(hard).await), Reason::PermissionDenied);
        let refused = own.purge_tenant(purge(&tenant, force)).await;
        assert_eq!(why(refused), Reason::PermissionDenied);
        let stale = PurgeTenantRequest {
            etag: "17".to_owned(),
            ..purge(&tenant, force)
        };
        let stale = world.tenants(&operator()).purge_tenant(stale).await;
        assert_eq!(why(stale), Reason::EtagMismatch);
    }
}

#[tokio::test]
async fn a_deleted_tenant_is_purged_by_itself_when_its_time_has_come_children_first() {
    let world = World::start().await;
    let parent = world.tenant("Parent").await;
    let child = world.child("Child", &parent).await;
    let kept = world.tenant("Kept").await;
    let mut tenants = world.tenants(&operator());
    for tenant in [&child, &parent, &kept] {
        tenants.delete_tenant(delete(tenant)).await.unwrap();
    }
    let mut stream = watch(&world).await;
    let mut owner = world.owner().await;
    sqlx::query("UPDATE tenants SET purge_at = clock_timestamp() WHERE tenant_id <> $1::uuid")
        .bind(&kept.id)
        .execute(&mut owner)
        .await
        .unwrap();
    let gone = purged(&mut stream, &[&child, &parent]).await;
    let ids: Vec<_> = gone
        .into_iter()
        .map(|change| change.tenant.unwrap().id)
        .collect();
    assert_eq!(ids, [child.id, parent.id]);
    let kept = tenants.get_tenant(get(&kept)).await.unwrap().into_inner();
    assert_eq!(kept.purge, None, "its time has not come");
}

#[tokio::test]
async fn purges_at_once_over_two_replicas_end_once_each() {
    let world = World::start().await;
    let second = world.replica().await;
    let mut stream = watch(&world).await;
    let mut all = Vec::new();
    for n in 0..12 {
        all.push(world.tenant(&format!("Tenant {n}")).await);
    }
    let asked = all.iter().flat_map(|tenant| {
        [&*world, &second].map(|replica| async {
            let mut tenants = replica.tenants(&operator());
            tenants.purge_tenant(purge(tenant, true)).await
        })
    });
    for answer in futures::future::join_all(asked).await {
        if let Err(status) = answer {
            assert_eq!(crate::support::reason(&status), Reason::TenantNotFound);
        }
    }
    let all: Vec<&Tenant> = all.iter().collect();
    purged(&mut stream, &all).await;
    let mut owner = world.owner().await;
    for tenant in all {
        let told = events(&mut owner, tenant).await;
        assert_eq!(
            told,
            ["tenant.created", "tenant.purge_started", "tenant.purged"]
        );
    }
}

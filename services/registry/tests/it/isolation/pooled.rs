//! The same walls through PgBouncer in transaction mode with one server connection, which all tenants take in turn,
//! amid errors, rollbacks and queries that nobody waits for.

use std::collections::BTreeSet;

use futures::future::{join_all, poll_fn};
use sqlx::{PgConnection, Row as _};
use tenantry_core::{Permission, TenantId};
use tenantry_proto::registry::v1::{GetTenantRequest, Tenant};
use tenantry_store::{Store, TenantTx};
use tenantry_testkit::cluster::Role;

use super::two_tenants;
use crate::support::{World, member, named, operator, rename};

/// How many work at once, on one server connection, and how often each.
const WORKERS: usize = 8;
const ROUNDS: usize = 30;

/// The tenants whose rows are in sight, in all tables together.
async fn seen(conn: &mut PgConnection) -> BTreeSet<TenantId> {
    sqlx::query(
        "SELECT tenant_id FROM tenants UNION SELECT tenant_id FROM slugs UNION SELECT tenant_id FROM outbox
         UNION SELECT tenant_id FROM outbox_counter UNION SELECT tenant_id FROM request_record",
    )
    .fetch_all(conn)
    .await
    .unwrap()
    .iter()
    .map(|row| row.get::<uuid::Uuid, _>(0).into())
    .collect()
}

async fn change(tx: &mut TenantTx) {
    let changed = sqlx::query("UPDATE tenants SET region = 'changed'")
        .execute(tx.conn())
        .await;
    assert_eq!(changed.unwrap().rows_affected(), 1, "its own row alone");
}

/// Lets a query begin, and goes away before its answer.
async fn abandon(mut tx: TenantTx) {
    let mut query = Box::pin(sqlx::query("SELECT pg_sleep(0.005)").execute(tx.conn()));
    poll_fn(|cx| {
        let _ = query.as_mut().poll(cx);
        std::task::Poll::Ready(())
    })
    .await;
}

/// One turn in a tenant: looks, then ends in one of the ways that a request can end.
async fn turn(store: &Store, tenant: TenantId, round: usize) {
    let mut tx = store.begin(tenant).await.unwrap();
    assert_eq!(seen(tx.conn()).await, BTreeSet::from([tenant]));
    match round % 6 {
        0 => tx.commit().await.unwrap(),
        1 => {
            change(&mut tx).await;
            drop(tx);
        }
        2 => {
            let bad = sqlx::query("SELECT nonsense FROM nowhere")
                .execute(tx.conn())
                .await;
            assert!(bad.is_err());
            drop(tx);
        }
        3 => {
            let canceled = sqlx::raw_sql("SET LOCAL statement_timeout = 1; SELECT pg_sleep(1)");
            assert!(canceled.execute(tx.conn()).await.is_err());
            assert!(
                tx.commit().await.is_ok(),
                "a failed transaction commits nothing"
            );
        }
        4 => abandon(tx).await,
        _ => {
            change(&mut tx).await;
            let divided = sqlx::query("SELECT 1 / 0").execute(tx.conn()).await;
            assert!(divided.is_err());
            drop(tx);
        }
    }
}

#[tokio::test]
async fn tenants_that_take_turns_on_one_pooled_connection_never_meet() {
    let world = World::start_pooled().await;
    let tenants = two_tenants(&world).await;
    let ids: Vec<TenantId> = tenants.iter().map(|t| t.id.parse().unwrap()).collect();
    let worker = |number: usize| {
        let (store, ids, world) = (&world.store, &ids, &world);
        async move {
            let mut without_tenant = world.connect(Role::App).await;
            for round in number..number + ROUNDS {
                turn(store, ids[round % 2], round).await;
                // Whoever forgets the tenant sees nothing, whoever had the connection before.
                let forgot = sqlx::raw_sql("SELECT count(*) FROM tenants")
                    .fetch_one(&mut without_tenant)
                    .await;
                assert_eq!(
                    forgot.unwrap().try_get_unchecked::<String, _>(0).unwrap(),
                    "0"
                );
                store.ping().await.unwrap();
            }
        }
    };
    join_all((0..WORKERS).map(worker)).await;

    let mut owner = world.owner().await;
    let servers: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND usename = 'registry_app'",
    )
    .bind(world.database())
    .fetch_one(&mut owner)
    .await
    .unwrap();
    assert_eq!(servers, 1, "all of it went over one connection");
    let changed: i64 = sqlx::query_scalar("SELECT count(*) FROM tenants WHERE region = 'changed'")
        .fetch_one(&mut owner)
        .await
        .unwrap();
    assert_eq!(changed, 0, "nothing that wasn't committed is there");
}

#[tokio::test]
async fn registry_serves_concurrent_changes_over_one_pooled_connection() {
    let world = World::start_pooled().await;
    let names: Vec<String> = (0..24).map(|n| format!("Tenant {n}")).collect();
    let created = join_all(names.iter().map(|name| {
        let mut tenants = world.tenants(&operator());
        async move { tenants.create_tenant(named(name)).await }
    }))
    .await;
    let created: Vec<Tenant> = created
        .into_iter()
        .map(|t| t.unwrap().into_inner())
        .collect();
    let renamed = join_all(created.iter().map(|tenant| {
        let mut tenants = world.tenants(&operator());
        async move { tenants.update_tenant(rename(tenant, "Renamed")).await }
    }))
    .await;
    for (tenant, renamed) in created.iter().zip(renamed) {
        assert_eq!(renamed.unwrap().into_inner().name, "Renamed");
        let mut own = world.tenants(&member(tenant, &[Permission::TenantsRead]));
        let read = own.get_tenant(GetTenantRequest::default()).await.unwrap();
        assert_eq!(read.into_inner().id, tenant.id);
    }
}

//! An audit log of millions of events, made up by scripts (`sql/audit-log-*.sql`) and put into the database behind the service's
//! back; the runs that it is searched by are then made by the service.

use std::time::Instant;

use anyhow::{Context as _, Result};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry_core::{Permission, Permissions, PrincipalKind, TenantId, clock};
use tenantry_rpc::assertion::{Claims, FLEET, GATEWAY, sign};
use tenantry_rpc::keys::KeyRing;
use tenantry_testkit::fleet::Fleet;
use tonic::metadata::{Ascii, MetadataValue};
use uuid::Uuid;

use crate::load;
use crate::log::{self, append_as};

/// Real events that the others are copies of.
const TEMPLATES: i64 = 400;
/// Events of one statement, and how many statements run at once.
const BATCH: i64 = 50_000;
const AT_ONCE: usize = 2;
/// The tenant that has an eighth of the events; its plan keeps them for two years.
const LARGE_TENANT: i64 = 3;

/// The tenant that has an eighth of the events.
#[must_use]
pub fn large_tenant() -> Uuid {
    load::tenant(LARGE_TENANT)
}

/// Puts so many events into a fleet's log, a multiple of eight, and returns once they are searched by runs; tells what it took.
///
/// # Errors
/// When the fleet or its database refuses.
pub async fn fill(fleet: &Fleet, events: i64) -> Result<()> {
    load::tenants(fleet, 8, 0).await?;
    let mut append = append_as(fleet, "identity").await?;
    log::send(&mut append, log::batch(&[load::tenant(1)], 1, TEMPLATES)).await?;
    let audit = fleet.service("audit", 0).unit();
    audit.stop().await?;
    let mut connection = load::superuser(fleet).await?;
    sqlx::raw_sql(include_str!("../sql/audit-log-pools.sql"))
        .execute(&mut connection)
        .await?;
    let position: i64 = sqlx::query_scalar("SELECT position FROM audit.log_head")
        .fetch_one(&mut connection)
        .await?;
    let began = Instant::now();
    insert(fleet, events, position).await?;
    sqlx::query(include_str!("../sql/audit-log-ends.sql"))
        .bind(events)
        .bind(position)
        .bind(large_tenant())
        .execute(&mut connection)
        .await?;
    sqlx::query("ANALYZE audit.events")
        .execute(&mut connection)
        .await?;
    println!(
        "{events} events put in within {:.0} s",
        began.elapsed().as_secs_f64()
    );
    let began = Instant::now();
    audit.start().await?;
    let made = "SELECT NOT EXISTS (SELECT FROM audit.search_due)";
    load::settled(&mut connection, made).await?;
    let took = began.elapsed().as_secs_f64();
    // Its tree isn't to be made while searches are timed: the log grows with each.
    let signed = "SELECT NOT EXISTS (SELECT FROM audit.logs WHERE waiting_since IS NOT NULL)";
    load::settled(&mut connection, signed).await?;
    sqlx::query("VACUUM ANALYZE audit.search_postings")
        .execute(&mut connection)
        .await?;
    tell_sizes(&mut connection, events, took).await
}

async fn tell_sizes(connection: &mut PgConnection, events: i64, took: f64) -> Result<()> {
    let places: i64 = sqlx::query_scalar("SELECT sum(events)::bigint FROM audit.search_runs")
        .fetch_one(&mut *connection)
        .await?;
    let per_event = |bytes: i64| bytes as f64 / events as f64;
    let mut sizes = Vec::new();
    for tables in [
        "SELECT relid FROM pg_partition_tree('audit.events') WHERE isleaf",
        "SELECT oid FROM pg_class WHERE oid IN ('audit.search_postings'::regclass, 'audit.search_runs'::regclass, 'audit.search_times'::regclass)",
    ] {
        let sql =
            format!("SELECT sum(pg_total_relation_size(t.o))::bigint FROM ({tables}) AS t (o)");
        let bytes: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&mut *connection)
            .await?;
        sizes.push(per_event(bytes));
    }
    let terms: f64 = sqlx::query_scalar(
        "SELECT avg(cardinality(terms))::float8 FROM audit.events TABLESAMPLE SYSTEM (0.1)",
    )
    .fetch_one(connection)
    .await?;
    println!(
        "runs of {places} places made in {took:.0} s ({:.0}/s); bytes an event: {:.0}, for the search {:.0} of them in two scopes; {terms:.0} terms",
        places as f64 / took,
        sizes[0] + sizes[1],
        sizes[1],
    );
    Ok(())
}

async fn insert(fleet: &Fleet, events: i64, position: i64) -> Result<()> {
    let mut tasks = Vec::new();
    for part in 0..AT_ONCE {
        let url = fleet.superuser_url();
        tasks.push(tokio::spawn(async move {
            let mut connection = PgConnection::connect(url.as_str()).await?;
            let firsts = (1..=events).step_by(BATCH as usize);
            for first in firsts.skip(part).step_by(AT_ONCE) {
                sqlx::query(include_str!("../sql/audit-log-events.sql"))
                    .bind(first)
                    .bind((first + BATCH - 1).min(events))
                    .bind(events as f64)
                    .bind(position)
                    .bind(large_tenant())
                    .execute(&mut connection)
                    .await?;
            }
            anyhow::Ok(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok(())
}

/// An assertion of an operator, or of somebody of the large tenant, with every right there is.
///
/// # Errors
/// When the fleet's key can't sign.
pub fn assertion(fleet: &Fleet, tenant: Option<Uuid>) -> Result<MetadataValue<Ascii>> {
    let claims = Claims {
        iss: GATEWAY.to_owned(),
        aud: FLEET.to_owned(),
        exp: clock::now().as_second() + 3_600,
        kind: PrincipalKind::User,
        name: "bench".to_owned(),
        tenant: tenant.map(TenantId::from),
        slug: tenant.map(|_| "large".to_owned()).unwrap_or_default(),
        no_tenant: if tenant.is_some() { "" } else { "none" }.to_owned(),
        perms: match tenant {
            Some(_) => Permissions::of(&[Permission::AuditRead]),
            None => Permissions::PLATFORM,
        },
        ..Claims::of_service("bench", "audit")
    };
    let ring = std::fs::read_to_string(fleet.keys().assertion_ring())?;
    let ring = KeyRing::parse(&ring).map_err(anyhow::Error::msg)?;
    sign(&ring, &claims)?
        .parse()
        .context("an assertion is text")
}

//! A purged tenant is gone from every service, whatever is killed meanwhile, and what it was called is nobody else's.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use reqwest::Method;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry_testkit::fleet::{Fleet, FleetConfig};
use tenantry_testkit::postgres::Durability;
use tenantry_testkit::rest::Rest;
use tenantry_testkit::wait::until;

use crate::support::insist::insist_on;
use crate::support::world::{Party, create_tenant, text};
use crate::support::{OwnFleet, fleet, full, unique};

/// Longest wait for the end of a purge, replicas that start again included.
const ENDS_WITHIN: Duration = Duration::from_secs(90);
/// A purged tenant's credentials are dead this soon.
const DEAD_WITHIN: Duration = Duration::from_secs(1);
/// What is left in tables that name tenants: events on their way to the log, their numbers, and the names that nobody else gets;
/// and the log itself, the hashes that prove it, where events come from, how far it has them, and where
/// what it still has begins.
const STAYS: &[&str] = &[
    "outbox",
    "outbox_counter",
    "relay_held",
    "slugs",
    "events",
    "logs",
    "gone",
    "trees",
    "tiles",
    "sources",
];
/// Services that take part, and what each calls the end of its part.
const ENDS: &[(&str, &str)] = &[
    ("registry", "tenant.purged"),
    ("identity", "tenant.data_purged"),
    ("audit", "tenant.data_purged"),
    ("quota", "tenant.data_purged"),
];
/// Services of which a replica is killed while purges are under way.
const KILLED: [&str; 3] = ["identity", "registry", "quota"];
/// The log has everything this soon.
const RELAYED_WITHIN: Duration = Duration::from_secs(30);

/// Waits until a tenant is answered as absent to an operator.
pub(crate) async fn gone(operator: &Rest, tenant: &str) -> Result<()> {
    let path = format!("/api/v1/tenants/{tenant}");
    until("end of the purge", ENDS_WITHIN, async || {
        let answer = operator.get(&path).await;
        Ok(answer
            .is_ok_and(|answer| answer.status == 404)
            .then_some(()))
    })
    .await
}

/// Uses something of a counter and of a gauge, and has a limit set apart.
async fn use_some(operator: &Rest, tenant: &str) -> Result<()> {
    let own = format!("/api/v1/tenants/{tenant}");
    for resource_type in ["alerts", "users"] {
        let used = json!({"resource_type": resource_type, "description": "Before its end"});
        let path = format!("{own}/usage/increment");
        operator.post(&path, used).await?.ok()?;
    }
    let limit = json!({"resource_type": "users", "limit": "9", "reason": "Before its end"});
    operator
        .patch(&format!("{own}/limits"), limit)
        .await?
        .ok()?;
    Ok(())
}

/// Every table of every service that names tenants, by the catalogue.
async fn tables(connection: &mut PgConnection) -> Result<Vec<(String, String)>> {
    let tables = sqlx::query_as(
        "SELECT n.nspname::text, c.relname::text FROM pg_class AS c
         JOIN pg_namespace AS n ON n.oid = c.relnamespace JOIN pg_attribute AS a ON a.attrelid = c.oid
         WHERE n.nspname IN ('registry', 'identity', 'audit', 'quota') AND c.relkind IN ('r', 'p') AND NOT c.relispartition
           AND a.attname = 'tenant_id'",
    )
    .fetch_all(connection)
    .await?;
    Ok(tables)
}

/// Asserts that nothing is left of these tenants but what is to stay, and that each purge ended once in each service.
async fn nothing_left(fleet: &Fleet, tenants: &[String]) -> Result<()> {
    let mut connection = PgConnection::connect(fleet.superuser_url().as_str()).await?;
    for (schema, table) in tables(&mut connection).await? {
        if STAYS.contains(&table.as_str()) {
            continue;
        }
        let left =
            format!("SELECT count(*) FROM {schema}.{table} WHERE tenant_id::text = ANY ($1)");
        let left: i64 = sqlx::query_scalar(AssertSqlSafe(left))
            .bind(tenants)
            .fetch_one(&mut connection)
            .await?;
        assert_eq!(left, 0, "{schema}.{table}");
    }
    for (schema, action) in ENDS {
        let once = format!(
            "SELECT count(*), count(DISTINCT tenant_id) FROM {schema}.outbox
             WHERE action = $1 AND tenant_id::text = ANY ($2)"
        );
        let once: (i64, i64) = sqlx::query_as(AssertSqlSafe(once))
            .bind(action)
            .bind(tenants)
            .fetch_one(&mut connection)
            .await?;
        let all = i64::try_from(tenants.len())?;
        assert_eq!(once, (all, all), "{schema}: {action}");
    }
    for tenant in tenants {
        nobody_in_the_log(&mut connection, tenant).await?;
    }
    Ok(())
}

/// Asserts that the log has all that happened in this tenant, each event as its hash says, and nothing of any person: what came
/// behind the purge too.
async fn nobody_in_the_log(connection: &mut PgConnection, tenant: &str) -> Result<()> {
    let told = ENDS.iter().map(|(schema, _)| {
        format!(
            "SELECT '{schema}' AS source, n FROM {schema}.outbox_counter WHERE tenant_id::text = $1"
        )
    });
    let told = told.collect::<Vec<_>>().join(" UNION ALL ");
    let missing = format!(
        "SELECT t.source || ' ' || t.n FROM ({told}) AS t
         LEFT JOIN audit.sources AS s ON s.tenant_id::text = $1 AND s.source = t.source
         WHERE coalesce(s.last_n, 0) < t.n"
    );
    until("whole log", RELAYED_WITHIN, async || {
        let missing: Option<String> = sqlx::query_scalar(AssertSqlSafe(missing.clone()))
            .bind(tenant)
            .fetch_optional(&mut *connection)
            .await?;
        Ok(missing.is_none().then_some(()))
    })
    .await?;
    let found: (i64, i64, i64) = sqlx::query_as(
        r"SELECT count(*), count(*) FILTER (WHERE disclosed IS NOT NULL OR digest <> ''),
                 count(*) FILTER (WHERE leaf_hash <> sha256('\x00'::bytea || convert_to(leaf, 'UTF8')))
          FROM audit.events WHERE tenant_id::text = $1",
    )
    .bind(tenant)
    .fetch_one(connection)
    .await?;
    assert!(found.0 > 0 && (found.1, found.2) == (0, 0), "{found:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purged_tenants_names_are_nobodys_and_its_credentials_are_dead() -> Result<()> {
    let fleet = fleet().await?;
    let operator = fleet.operator_rest()?;
    let a = Party::create(fleet).await?;
    let path = format!("/api/v1/tenants/{}", a.id);
    use_some(&operator, &a.id).await?;
    crate::seats::told_of(fleet, &a.id).await?;
    let refused = operator
        .send(Method::DELETE, &format!("{path}?hard=true"), None)
        .await?;
    assert_eq!(
        (refused.status, refused.reason().as_str()),
        (400, "TENANT_HAS_CHILDREN")
    );
    let child = format!("/api/v1/tenants/{}:purge", a.child);
    operator.post(&child, json!({"force": true})).await?.ok()?;
    gone(&operator, &a.child).await?;

    let shown = operator
        .send(Method::DELETE, &format!("{path}?hard=true"), None)
        .await?
        .ok()?;
    assert_eq!(shown["purge"]["state"], "preview");
    let services = shown["purge"]["services"].as_array().context("services")?;
    let identity = services.iter().find(|part| part["service"] == "identity");
    let data = identity.context("identity")?["data"]
        .as_array()
        .context("data")?;
    assert!(
        data.contains(&json!({"kind": "members", "count": 2})),
        "{data:?}"
    );
    assert!(
        data.contains(&json!({"kind": "api_keys", "count": 1})),
        "{data:?}"
    );
    let quota = services.iter().find(|part| part["service"] == "quota");
    for (kind, count) in [
        // Its two members and its key are counted too.
        ("usage_accounts", 3),
        ("usage_records", 8),
        ("reservations", 3),
        ("limit_overrides", 1),
    ] {
        let data = quota.context("quota")?["data"].as_array();
        let expected = json!({"kind": kind, "count": count});
        assert!(data.context("data")?.contains(&expected), "{quota:?}");
    }
    let login = json!({"email": a.owner_email, "password": crate::support::world::PASSWORD, "tenant": a.id});
    let there = fleet
        .rest()?
        .post("/api/v1/auth/login", login)
        .await?
        .ok()?;
    let there = fleet.rest()?.bearer(&text(&there, "access_token"));
    let key = a.key_rest(fleet)?;
    for rest in [&there, &key] {
        assert_eq!(rest.get("/api/v1/tenants/current").await?.status, 200);
    }

    let forced = operator
        .send(
            Method::DELETE,
            &format!("{path}?hard=true&force=true"),
            None,
        )
        .await?
        .ok()?;
    assert_eq!(forced["status"], "deleted");
    gone(&operator, &a.id).await?;
    let ended = Instant::now();
    for rest in [&there, &key] {
        while rest.get("/api/v1/auth/me").await?.status != 401 {
            assert!(ended.elapsed() < DEAD_WITHIN, "a credential lives on");
        }
    }
    let owner = a.rest(fleet)?;
    for rest in [&operator, &owner] {
        let purged = rest.get(&path).await?;
        let absent = format!("/api/v1/tenants/{}", tenantry_core::TenantId::new());
        let absent = rest.get(&absent).await?;
        assert_eq!((purged.status, &purged.text), (404, &absent.text));
    }
    // The log is still there for who looks into logs, each event without what told of a person.
    nothing_left(fleet, &[a.id.clone(), a.child.clone()]).await?;
    let search = format!(
        "/api/v1/tenants/audit-log/search?tenant_id={}&page_size=1000",
        a.id
    );
    let log = operator.get(&search).await?.ok()?;
    let events = log["events"].as_array().context("events")?;
    let happened = |event_type: &str| {
        let mut events = events.iter();
        events.any(|event| event["event_type"] == event_type)
    };
    for event_type in [
        "tenant.created",
        "api_key.created",
        "tenant.data_purged",
        "tenant.purged",
    ] {
        assert!(happened(event_type), "{event_type}: {log}");
    }
    assert!(!log.to_string().contains(&a.owner_email), "{log}");
    let by_person = format!("{search}&actor={}", a.owner_email);
    assert_eq!(operator.get(&by_person).await?.ok()?["events"], json!([]));

    let newcomer = json!({"name": "Newcomer", "slug": a.slug});
    let taken = operator.post("/api/v1/tenants", newcomer).await?;
    assert_eq!((taken.status, taken.reason().as_str()), (409, "SLUG_TAKEN"));
    nothing_left(fleet, &[a.id, a.child]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_anyone_in_the_middle_of_purges_leaves_none_half_done() -> Result<()> {
    let (rounds, tenants) = if full() { (12, 12) } else { (3, 8) };
    let fleet = OwnFleet::start(FleetConfig {
        database: tenantry_testkit::fleet::Database::Own(Durability::Full),
        ..FleetConfig::replicas(2)
    })
    .await?;
    let operator = fleet.operator_rest()?;
    let mut all = Vec::new();
    for round in 0..rounds {
        let made = try_join_all((0..tenants).map(|_| async {
            let body = json!({"name": unique("Doomed")});
            let id = text(&create_tenant(&operator, body).await?, "id");
            for _ in 0..2 {
                let email = format!("{}@example.com", unique("member"));
                // No hash to wait for: this is about what is removed.
                let body = json!({"email": email, "roles": ["member"]});
                let path = format!("/api/v1/tenants/{id}/users");
                operator.post(&path, body).await?.ok()?;
            }
            let path = format!("/api/v1/tenants/{id}/api-keys");
            operator.post(&path, json!({"name": "ci"})).await?.ok()?;
            use_some(&operator, &id).await?;
            anyhow::Ok(id)
        }))
        .await?;
        let purges = try_join_all(made.iter().map(async |id| {
            let path = format!("/api/v1/tenants/{id}:purge");
            let body = json!({"force": true, "request_id": unique("purge")});
            // A purge that has ended meanwhile is answered 404.
            insist_on(&[200, 404], &operator, Method::POST, &path, &body).await
        }));
        let kills = async {
            for service in KILLED {
                let unit = fleet.service(service, round % 2).unit();
                unit.kill_9().await?;
                unit.start().await?;
            }
            anyhow::Ok(())
        };
        let (answers, killed) = tokio::join!(purges, kills);
        answers?;
        killed?;
        try_join_all(made.iter().map(|id| gone(&operator, id))).await?;
        all.extend(made);
    }
    let kills = rounds * KILLED.len();
    println!("{} purges over {kills} kills", all.len());
    nothing_left(&fleet, &all).await?;
    fleet.stop().await
}

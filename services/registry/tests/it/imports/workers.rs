//! Those who work imports off: several, dying, stopped, and out of luck.

use sqlx::PgConnection;
use tenantry_proto::registry::v1::CancelTenantImportRequest;
use tenantry_testkit::wait;

use super::{csv, ended, import, made, once, rows, start};
use crate::support::{SOON, World, operator};

fn file(rows: usize) -> String {
    let rows = (1..=rows).map(|n| format!("Tenant {n},tenant-{n},crm-{n}\n"));
    "name,slug,external_id\n".to_owned() + &rows.collect::<String>()
}

/// Makes every lease and every pause worth nothing: whoever looks takes an import up.
async fn hurry(owner: &mut PgConnection) {
    let always_due = "
        CREATE FUNCTION always_due() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN NEW.due_at := clock_timestamp(); RETURN NEW; END';
        CREATE TRIGGER always_due BEFORE INSERT OR UPDATE ON tenant_imports
            FOR EACH ROW EXECUTE FUNCTION always_due()";
    sqlx::raw_sql(always_due).execute(owner).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_row_is_made_once_though_replicas_overlap_and_die() {
    const ROWS: i32 = 300;
    let world = World::start().await;
    let second = world.replica().await;
    hurry(&mut world.owner().await).await;
    let started = start(&second, csv(file(ROWS as usize))).await;
    for part in [1, 3] {
        let far = |import: &_| {
            let import: &tenantry_proto::registry::v1::TenantImport = import;
            import.done_count >= ROWS / 5 * part
        };
        once(&world, &started, far).await;
        if part == 1 {
            // In the middle of whatever it is doing.
            second.end().await;
        }
    }
    let done = ended(&world, &started).await;
    assert_eq!(
        (done.state.as_str(), done.created_count),
        ("succeeded", ROWS)
    );
    let all = i64::from(ROWS);
    assert_eq!(made(&world).await, (all, all, all));
    let rows = rows(&world, &done, "created").await;
    let in_order = rows
        .iter()
        .zip(1..)
        .all(|(row, n)| row.slug == format!("tenant-{n}"));
    assert!(in_order && rows.len() == ROWS as usize);
}

#[tokio::test]
async fn once_a_cancel_is_answered_no_further_tenant_is_made() {
    let world = World::start().await;
    let started = start(&world, csv(file(2_000))).await;
    once(&world, &started, |import| import.created_count > 10).await;
    let cancel = CancelTenantImportRequest {
        tenant_import: started.id.clone(),
        request_id: "enough".to_owned(),
    };
    let mut imports = world.imports(&operator());
    let cancelled = imports
        .cancel_tenant_import(cancel.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(cancelled.state, "cancelled");
    let (tenants, ..) = made(&world).await;
    assert_eq!(i64::from(cancelled.created_count), tenants);
    assert!(tenants < 2_000);
    // One that starts later ends, and the first stands where it stood.
    let later = import(&world, csv("name\nLater\n")).await;
    assert_eq!(later.state, "succeeded");
    assert_eq!(made(&world).await.0, tenants + 1);
    assert_eq!(
        rows(&world, &started, "created").await.len(),
        tenants as usize
    );
    let again = imports
        .cancel_tenant_import(cancel)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again, cancelled);
}

#[tokio::test]
async fn a_fault_decides_about_a_row_only_if_it_stays_and_bad_luck_never_does() {
    let world = World::start().await;
    let mut owner = world.owner().await;
    sqlx::raw_sql(
        "CREATE SEQUENCE luck; CREATE SEQUENCE faults; CREATE SEQUENCE passing;
         GRANT USAGE ON luck, faults, passing TO registry_app;
         CREATE FUNCTION meet() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF NEW.name = 'Fault' AND nextval('faults') > 0 THEN RAISE EXCEPTION 'no'; END IF;
             IF NEW.name = 'Passing' AND nextval('passing') < 3 THEN RAISE EXCEPTION 'no'; END IF;
             IF NEW.name = 'Bad luck' AND nextval('luck') < 3 THEN
                 RAISE EXCEPTION 'not now' USING ERRCODE = '40001';
             END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER meet BEFORE INSERT ON tenants FOR EACH ROW EXECUTE FUNCTION meet();",
    )
    .execute(&mut owner)
    .await
    .unwrap();
    hurry(&mut owner).await;
    let done = import(&world, csv("name\nFirst\nPassing\nFault\nBad luck\nLast\n")).await;
    let rows = rows(&world, &done, "").await;
    let told: Vec<_> = rows
        .iter()
        .map(|row| (row.outcome.as_str(), row.reason.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("created", ""),
            ("created", ""),
            ("refused", "INTERNAL"),
            ("created", ""),
            ("created", "")
        ]
    );
    assert!(
        !rows[2].message.contains("no"),
        "what the database said stays here"
    );
    let tried: i64 = sqlx::query_scalar("SELECT last_value FROM faults")
        .fetch_one(&mut owner)
        .await
        .unwrap();
    assert_eq!(tried, 11);
}

#[tokio::test]
async fn an_import_that_ended_long_ago_is_removed_with_its_rows() {
    let world = World::start().await;
    let old = import(&world, csv("name\nOld\n")).await;
    let young = import(&world, csv("name\nYoung\n")).await;
    let mut owner = world.owner().await;
    sqlx::query("UPDATE tenant_imports SET finished_at = finished_at - interval '31 days' WHERE import_id = $1::uuid")
        .bind(&old.id)
        .execute(&mut owner)
        .await
        .unwrap();
    let left = "SELECT array_agg(DISTINCT import_id::text) FROM tenant_import_rows";
    wait::until("sweep of the old rows", SOON, async || {
        let left: Vec<String> = sqlx::query_scalar(left).fetch_one(&mut owner).await?;
        Ok((left.len() == 1).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(rows(&world, &young, "").await.len(), 1);
}

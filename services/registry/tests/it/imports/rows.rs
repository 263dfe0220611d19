//! What becomes of each row.

use std::fmt::Write as _;

use tenantry_core::Reason;
use tenantry_proto::registry::v1::{
    CreateTenantRequest, GetTenantRequest, ImportTenantsRequest, SuspendTenantRequest, Tenant,
    TenantImportRow,
};

use super::{csv, import, made, rows};
use crate::support::{World, named, operator, why};

/// Outcome and reason of each row.
fn told(rows: &[TenantImportRow]) -> Vec<(&str, &str)> {
    let rows = rows.iter();
    rows.map(|row| (row.outcome.as_str(), row.reason.as_str()))
        .collect()
}

async fn tenant(world: &World, slug: &str) -> Tenant {
    let tenant = slug.to_owned();
    let request = GetTenantRequest { tenant };
    let got = world.tenants(&operator()).get_tenant(request).await;
    got.unwrap().into_inner()
}

/// Tenants that rows meet: one in use, one suspended, one deleted, and a chain of nine.
async fn met(world: &World) -> Tenant {
    let known = CreateTenantRequest {
        external_id: "known".to_owned(),
        ..named("Known")
    };
    let known = world.create(known).await;
    let stopped = world.tenant("Stopped").await;
    let suspend = SuspendTenantRequest {
        tenant: stopped.id,
        ..Default::default()
    };
    let suspended = world.tenants(&operator()).suspend_tenant(suspend).await;
    suspended.unwrap();
    let gone = CreateTenantRequest {
        external_id: "gone".to_owned(),
        ..named("Gone")
    };
    let gone = world.create(gone).await;
    let delete = tenantry_proto::registry::v1::DeleteTenantRequest {
        tenant: gone.id,
        ..Default::default()
    };
    world
        .tenants(&operator())
        .delete_tenant(delete)
        .await
        .unwrap();
    let mut chain = world.tenant("Level 1").await;
    for level in 2..=9 {
        chain = world.child(&format!("Level {level}"), &chain).await;
    }
    known
}

/// Each row, and what is to become of it.
const ROWS: &[(&str, &str, &str)] = &[
    ("Alpha,alpha,a-1,pro,,", "created", ""),
    ("Below by slug,,b-1,,alpha,", "created", ""),
    ("Below by external id,,b-2,,,a-1", "created", ""),
    ("Below an older one,,,,known,", "created", ""),
    ("Same slug,alpha,,,,", "refused", "SLUG_TAKEN"),
    ("Same external id,,a-1,,,", "refused", "EXTERNAL_ID_TAKEN"),
    ("Slug in use,known,,,,", "refused", "SLUG_TAKEN"),
    ("Known again,,known,,,", "exists", ""),
    ("Gone,,gone,,,", "refused", "EXTERNAL_ID_TAKEN"),
    ("Alpha,,,,,", "created", ""),
    ("Twin,,,,,", "created", ""),
    ("Twin,,,,,", "created", ""),
    ("Twin's own slug,twin,,,,", "refused", "SLUG_TAKEN"),
    ("No plan,,,nothing,,", "refused", "PLAN_NOT_FOUND"),
    ("No parent,,,,nobody,", "refused", "PARENT_NOT_FOUND"),
    ("Later parent,,,,omega,", "refused", "PARENT_NOT_FOUND"),
    (
        "Suspended parent,,,,stopped,",
        "refused",
        "PARENT_NOT_FOUND",
    ),
    ("Tenth,tenth,,,level-9,", "created", ""),
    ("Eleventh,,,,tenth,", "refused", "HIERARCHY_TOO_DEEP"),
    ("No slug,x,,,,", "refused", "INVALID_ARGUMENT"),
    ("Kept word,admin,,,,", "refused", "SLUG_RESERVED"),
    ("Parents,,,,alpha,a-1", "refused", "INVALID_ARGUMENT"),
    ("Omega,omega,,,,", "created", ""),
];

fn file() -> String {
    let mut file =
        "name,slug,external_id,subscription_tier,parent_id,parent_external_id\n".to_owned();
    for (row, _, _) in ROWS {
        writeln!(file, "{row}").unwrap();
    }
    file
}

#[tokio::test]
async fn a_dry_run_tells_of_each_row_what_the_run_does_then_and_makes_nothing() {
    let world = World::start().await;
    let known = met(&world).await;
    let before = made(&world).await;
    let expected: Vec<_> = ROWS
        .iter()
        .map(|(_, outcome, reason)| (*outcome, *reason))
        .collect();

    let dry = ImportTenantsRequest {
        dry_run: true,
        ..csv(file())
    };
    let dry = import(&world, dry).await;
    let foretold = rows(&world, &dry, "").await;
    assert_eq!(told(&foretold), expected);
    assert_eq!(made(&world).await, before, "nothing was made");

    let real = import(&world, csv(file())).await;
    let done = rows(&world, &real, "").await;
    assert_eq!(told(&done), expected);
    for (told, done) in foretold.iter().zip(&done) {
        assert_eq!(
            (told.row, told.line, &told.name),
            (done.row, done.row + 1, &done.name)
        );
        assert_eq!(
            (&told.message, &told.field_violations),
            (&done.message, &done.field_violations)
        );
        let random = told.slug.is_empty() && told.outcome == "created";
        assert!(random || told.slug == done.slug, "{told:?} {done:?}");
        assert_eq!(
            told.tenant_id.is_empty(),
            told.outcome != "exists",
            "{told:?}"
        );
        assert_eq!(
            done.tenant_id.is_empty(),
            done.outcome == "refused",
            "{done:?}"
        );
    }
    let counts = [&dry, &real].map(|import| {
        (
            import.state.as_str(),
            import.done_count,
            import.created_count,
            import.existing_count,
            import.refused_count,
        )
    });
    let created = expected
        .iter()
        .filter(|(outcome, _)| *outcome == "created")
        .count();
    let created = i32::try_from(created).unwrap();
    let all = i32::try_from(ROWS.len()).unwrap();
    assert_eq!(
        counts,
        [("partially_succeeded", all, created, 1, all - created - 1); 2]
    );
    let after = made(&world).await;
    let more = i64::from(created);
    assert_eq!(after, (before.0 + more, before.1 + more, before.2 + more));

    let alpha = tenant(&world, "alpha").await;
    assert_eq!(alpha.subscription_tier, "professional");
    assert_eq!(
        (done[0].tenant_id.as_str(), alpha.external_id.as_str()),
        (alpha.id.as_str(), "a-1")
    );
    for (row, parent) in [(1, &alpha.id), (2, &alpha.id), (3, &known.id)] {
        assert_eq!(&tenant(&world, &done[row].slug).await.parent_id, parent);
    }
    assert_eq!(
        done[7].tenant_id, known.id,
        "the one that is there, as it was"
    );
    assert_eq!(tenant(&world, "known").await.name, "Known");

    let refused = rows(&world, &real, "refused").await;
    assert_eq!(refused.len(), ROWS.len() - more as usize - 1);
    assert!(refused.iter().all(|row| row.outcome == "refused"));
}

#[tokio::test]
async fn a_create_of_a_refused_rows_tenant_is_refused_for_the_same_reason() {
    let world = World::start().await;
    met(&world).await;
    import(&world, csv(file())).await;
    let mut tenants = world.tenants(&operator());
    for (row, outcome, reason) in ROWS {
        let cells: Vec<_> = row.split(',').map(str::to_owned).collect();
        // Whoever creates can't name a parent by its external id; and by now the later parent is there.
        if *outcome != "refused" || row.starts_with("Parents") || row.starts_with("Later") {
            continue;
        }
        let request = CreateTenantRequest {
            slug: cells[1].clone(),
            external_id: cells[2].clone(),
            subscription_tier: cells[3].clone(),
            parent_id: cells[4].clone(),
            ..named(&cells[0])
        };
        let refused = why(tenants.create_tenant(request).await);
        assert_eq!(refused.word(), *reason, "{row}");
    }
}

#[tokio::test]
async fn a_file_that_is_sent_again_makes_only_what_it_did_not_make() {
    let world = World::start().await;
    let file = "name,external_id,slug\nOne,1,one\nTwo,2,x\nThree,3,three\n";
    let first = import(&world, csv(file)).await;
    assert_eq!((first.created_count, first.refused_count), (2, 1));
    let mended = import(&world, csv(file.replace(",x", ",two"))).await;
    assert_eq!((mended.created_count, mended.existing_count), (1, 2));
    assert_eq!(mended.state, "succeeded");
    assert_eq!(made(&world).await, (3, 3, 3));
    let all_bad = import(&world, csv("name,slug\nOne,x\nTwo,y\n")).await;
    assert_eq!(
        (all_bad.state.as_str(), all_bad.refused_count),
        ("failed", 2)
    );
}

#[tokio::test]
async fn ndjson_makes_the_same_tenants() {
    let world = World::start().await;
    let lines = r#"{"name": "Top", "slug": "top", "trial_days": 14, "labels": [{"key": "segment", "value": "smb"}], "metadata": {"seats": 3}}
{"name": "Below", "slug": "below", "parent_id": "top"}
{"name": "Odd", "colour": "red"}
"#;
    let request = ImportTenantsRequest {
        format: "ndjson".to_owned(),
        ..csv(lines)
    };
    let done = import(&world, request).await;
    let rows = rows(&world, &done, "").await;
    let refused = Reason::InvalidArgument.word();
    assert_eq!(
        told(&rows),
        [("created", ""), ("created", ""), ("refused", refused)]
    );
    assert_eq!(rows[2].field_violations[0].field, "colour");
    let top = tenant(&world, "top").await;
    assert_eq!(
        (top.status.as_str(), top.labels[0].value.as_str()),
        ("trial", "smb")
    );
    assert!(top.metadata.unwrap().fields.contains_key("seats"));
    assert_eq!(tenant(&world, "below").await.parent_id, top.id);
}

//! Taking events out of the log: what comes is proved by `tenantry-verify` in each form, and what was changed is noticed.

mod ends;
mod kept;
mod ocsf;
mod tampered;

use serde_json::Value;
use sqlx::Executor as _;
use tenantry_core::{Reason, TenantId};
use tenantry_proto::audit::v1::ExportEventsRequest;

use crate::support::{FORMATS, World, all, event, reason, stream};

/// Events of two sources, some of them with what is hard to write down.
pub(crate) async fn fill(world: &World, tenant: TenantId, count: usize) {
    let mut events: Vec<_> = (0..count).map(|_| event("tenant.updated")).collect();
    events[1].after = serde_json::json!({"name": "=Zürich, \"quoted\"\r\nand\tlong", "version": 2, "limits": [1, 2.5, null]});
    events[2].actor.name = "+ada@example.com".to_owned();
    events[3].origin.ip = String::new();
    world.appended("registry", stream(tenant, 1, &events)).await;
    let members: Vec<_> = (0..count / 2).map(|_| event("member.added")).collect();
    world
        .appended("identity", stream(tenant, 1, &members))
        .await;
}

#[tokio::test]
async fn a_whole_log_is_proved_in_each_form() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    fill(&world, tenant, 300).await;
    let early = world.all_signed(tenant).await.checkpoint;
    world.fill(tenant, 301, 300).await;
    world.all_signed(tenant).await;
    for (format, content_type) in [
        ("", "application/x-ndjson"),
        ("ndjson", "application/x-ndjson"),
        ("csv", "text/csv; charset=utf-8"),
        ("ocsf", "application/x-ndjson"),
    ] {
        let export = world.exported(tenant, all(format)).await.unwrap();
        assert!(export.broken_off.is_none());
        assert_eq!(export.content_type, content_type);
        assert!(export.parts.len() > 3, "{:?}", export.parts);
        assert!(
            export.parts.iter().all(|size| *size < 300 * 1024),
            "{:?}",
            export.parts
        );
        let verdict = export.verdict(&world.vkeys(), &[&early]);
        verdict.proves(&[
            "750 of 750 events are in this log",
            "From index 0 to 749 none is missing",
            "The tree was built anew from the events, and has the signed root.",
            "the log of then, 450 events, is the beginning of the log of now",
        ]);
        assert!(
            !verdict.text.contains("Not in the leaves"),
            "{}",
            verdict.text
        );
        assert!(!verdict.text.contains("Not shown"), "{}", verdict.text);
    }
}

#[tokio::test]
async fn a_filter_makes_a_selection_and_the_export_says_so() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    fill(&world, tenant, 300).await;
    world.all_signed(tenant).await;
    for format in FORMATS {
        let request = ExportEventsRequest {
            event_type: "member".to_owned(),
            from_index: 310,
            ..all(format)
        };
        let export = world.exported(tenant, request).await.unwrap();
        let verdict = export.verdict(&world.vkeys(), &[]);
        verdict.proves(&[
            "140 of 140 events are in this log",
            "a selection from index 310 to 449",
        ]);
        let request = ExportEventsRequest {
            q: "nowhere".to_owned(),
            ..all(format)
        };
        let export = world.exported(tenant, request).await.unwrap();
        let verdict = export.verdict(&world.vkeys(), &[]);
        verdict.proves(&["The export has no events"]);
    }
}

#[tokio::test]
async fn a_part_of_a_log_shows_that_it_goes_on_with_an_earlier_one() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    fill(&world, tenant, 300).await;
    let early = world.all_signed(tenant).await;
    world.fill(tenant, 301, 50).await;
    world.all_signed(tenant).await;
    for format in FORMATS {
        let request = ExportEventsRequest {
            from_index: early.tree_size,
            consistent_with: early.tree_size,
            ..all(format)
        };
        let export = world.exported(tenant, request).await.unwrap();
        let verdict = export.verdict(&world.vkeys(), &[&early.checkpoint]);
        verdict.proves(&[
            "From index 450 to 499 none is missing",
            "The log has 450 events before these.",
            "the log of then, 450 events, is the beginning of the log of now",
        ]);
    }
    let beyond = ExportEventsRequest {
        from_index: 5_000,
        ..all("csv")
    };
    let export = world.exported(tenant, beyond).await.unwrap();
    let verdict = export.verdict(&world.vkeys(), &[]);
    verdict.proves(&["The export has no events"]);
}

#[tokio::test]
async fn only_what_is_signed_is_exported() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    let held = world.nobody_signs().await;
    fill(&world, tenant, 10).await;
    let refused = world.exported(tenant, all("csv")).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::NotYetCheckpointed);
    held.end().await;
    world.all_signed(tenant).await;
    let held = world.nobody_signs().await;
    world.fill(tenant, 11, 10).await;
    let export = world.exported(tenant, all("ndjson")).await.unwrap();
    let verdict = export.verdict(&world.vkeys(), &[]);
    verdict.proves(&["From index 0 to 14 none is missing", "signed root"]);
    held.end().await;
}

#[tokio::test]
async fn erased_values_are_told_and_the_rest_is_proved() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    fill(&world, tenant, 20).await;
    world.all_signed(tenant).await;
    let erase = "UPDATE events SET disclosed = NULL WHERE index = 7";
    world.owner().await.execute(erase).await.unwrap();
    for format in FORMATS {
        let export = world.exported(tenant, all(format)).await.unwrap();
        let verdict = export.verdict(&world.vkeys(), &[]);
        verdict.proves(&[
            "30 of 30 events are in this log",
            "Not shown, because erased or left out here: 3 personal values.",
            "signed root",
        ]);
    }
}

#[tokio::test]
async fn an_export_is_an_event_before_its_first_byte() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    world.fill(tenant, 1, 1).await;
    world.all_signed(tenant).await;
    let export = world.export(tenant, all("csv")).await.unwrap();
    let told: (String, Value) = sqlx::query_as(
        "SELECT event -> 'actor' ->> 'name', event -> 'after' FROM outbox WHERE tenant_id = $1 AND action = 'audit_log.exported'",
    )
    .bind(tenant.uuid())
    .fetch_one(&mut world.owner().await)
    .await
    .unwrap();
    drop(export);
    assert_eq!(told.0, "ada@example.com");
    assert_eq!(
        told.1["method"],
        "/tenantry.audit.v1.AuditExportService/ExportEvents"
    );
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let world = World::start().await;
    let tenant = world.registry.add("acme", 365, None);
    world.fill(tenant, 1, 5).await;
    world.all_signed(tenant).await;
    let bad = [
        all("xml"),
        ExportEventsRequest {
            from_index: -1,
            ..all("csv")
        },
        ExportEventsRequest {
            consistent_with: -1,
            ..all("csv")
        },
        ExportEventsRequest {
            consistent_with: 6,
            ..all("csv")
        },
        ExportEventsRequest {
            outcome: "perhaps".to_owned(),
            ..all("csv")
        },
    ];
    for request in bad {
        let told = format!("{request:?}");
        let refused = world.exported(tenant, request).await.unwrap_err();
        assert_eq!(reason(&refused), Reason::InvalidArgument, "{told}");
    }
    let foreign = ExportEventsRequest {
        tenant: TenantId::new().to_string(),
        ..all("csv")
    };
    let refused = world.exported(tenant, foreign).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::TenantNotFound);
}

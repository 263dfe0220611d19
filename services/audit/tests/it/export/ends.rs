//! An export ends with what admitted it, and says so.

use std::time::Duration;

use tenantry_core::{Permission, Reason, TenantId};
use tenantry_proto::audit::v1::audit_export_service_client::AuditExportServiceClient;

use crate::support::{FORMATS, World, all, member, reason, rest};

/// What is promised to end within.
const SOON: Duration = Duration::from_secs(1);
/// Events whose export is larger than what waits on the way to a client that doesn't read.
const MANY: usize = 4_000;

async fn filled(world: &World) -> TenantId {
    let tenant = world.registry.add("acme", 365, None);
    for first in (1..).step_by(1_000).take(MANY / 1_000) {
        world.fill(tenant, first, 1_000).await;
    }
    world.all_signed(tenant).await;
    tenant
}

#[tokio::test]
async fn the_export_of_a_tenant_that_is_suspended_breaks_off_and_says_why() {
    let world = World::start().await;
    let tenant = filled(&world).await;
    let mut exports = Vec::new();
    for format in FORMATS {
        let mut export = world.export(tenant, all(format)).await.unwrap();
        let first = export.message().await.unwrap().unwrap();
        exports.push((first, export));
    }
    world
        .registry
        .change(tenant, |t| t.status = "suspended".to_owned());
    // Their clients don't read meanwhile.
    tokio::time::sleep(SOON).await;
    for (first, export) in exports {
        let mut export = rest(export).await;
        let status = export.broken_off.take().expect("a status says why");
        assert_eq!(reason(&status), Reason::StreamTenantStatus);
        export
            .text
            .insert_str(0, std::str::from_utf8(&first.data).unwrap());
        let verdict = export.verdict(&world.vkeys(), &[]);
        verdict.refuses(&["the export broke off (STREAM_TENANT_STATUS)"]);
        let whole = format!("{MANY} of {MANY} events");
        assert!(!verdict.text.contains(&whole), "{}", verdict.text);
        // Apart from that, all that came is in order.
        assert_eq!(verdict.text.matches("line ").count(), 0, "{}", verdict.text);
        assert!(
            !verdict.text.contains("its end tells of"),
            "{}",
            verdict.text
        );
    }
}

#[tokio::test]
async fn one_credential_has_few_exports_at_once_and_leaves_others_theirs() {
    let world = World::start().await;
    let tenant = filled(&world).await;
    let claims = member(tenant, &[Permission::AuditRead]);
    let exports = AuditExportServiceClient::new(world.as_caller(&claims));
    let begin = async || exports.clone().export_events(all("csv")).await;
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(begin().await.unwrap());
    }
    let refused = begin().await.unwrap_err();
    assert_eq!(reason(&refused), Reason::Overloaded);
    let other = world.export(tenant, all("csv")).await;
    assert!(other.is_ok(), "another person's");
    open.clear();
    let again = async || Ok(begin().await.ok());
    let again = tenantry_testkit::wait::until("place", Duration::from_secs(5), again).await;
    again.unwrap();
}

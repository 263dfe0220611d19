//! The audit log: its events, exports, proofs and sources.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;
use tenantry_testkit::fleet::Fleet;
use tenantry_testkit::wait::until;

use super::{Attempt, Class, absent, attempt, of_list, tenant, uncontrolled};
use crate::support::world::{Party, text};

/// Longest time until what happened stands under a checkpoint.
const CHECKPOINTED_WITHIN: Duration = Duration::from_secs(20);

pub(super) const ROWS: &[(&str, Class)] = &[
    (
        "/tenantry.audit.v1.AuditEventService/GetEvent",
        Class::Tenant,
    ),
    (
        "/tenantry.audit.v1.AuditEventService/ListEvents",
        Class::Tenant,
    ),
    (
        "/tenantry.audit.v1.AuditEventService/RecordEvents",
        Class::Tenant,
    ),
    (
        "/tenantry.audit.v1.AuditEventService/SearchEvents",
        Class::Operator,
    ),
    (
        "/tenantry.audit.v1.AuditEventService/TailEvents",
        Class::Tenant,
    ),
    (
        "/tenantry.audit.v1.AuditExportService/ExportEvents",
        Class::Tenant,
    ),
    (
        "/tenantry.audit.v1.AuditLogService/GetFleetCheckpoint",
        Class::Operator,
    ),
    (
        "/tenantry.audit.v1.AuditLogService/GetLogCheckpoint",
        Class::Tenant,
    ),
    (
        "/tenantry.audit.v1.AuditLogService/GetLogProof",
        Class::Tenant,
    ),
    (
        "/tenantry.audit.v1.AuditLogService/GetLogTile",
        Class::Tenant,
    ),
    (
        "/tenantry.audit.v1.AuditLogService/ListFleetEntries",
        Class::Operator,
    ),
    (
        "/tenantry.audit.v1.AuditLogService/ListLogKeys",
        Class::Common,
    ),
    (
        "/tenantry.audit.v1.AuditSourceService/ListAuditSources",
        Class::Operator,
    ),
    (
        "/tenantry.audit.v1.AuditSourceService/ResumeAuditSource",
        Class::Operator,
    ),
];

/// The id of an event of B's, once the log has two under a checkpoint.
async fn event(fleet: &Fleet, b: &Party) -> Result<String> {
    let (rest, log) = (
        b.rest(fleet)?,
        format!("/api/v1/tenants/{}/audit-log", b.id),
    );
    until("checkpointed events", CHECKPOINTED_WITHIN, async || {
        let state = rest.get(&format!("{log}/checkpoint")).await?;
        let size: i64 = text(&state.json(), "tree_size").parse().unwrap_or(0);
        Ok((size >= 2).then_some(()))
    })
    .await?;
    let events = rest.get(&log).await?.ok()?;
    let first = events["events"].as_array().and_then(|events| events.last());
    Ok(text(first.context("an event")?, "id"))
}

/// The attempts of one RPC, where it is of this noun.
pub(super) async fn attempts(
    fleet: &Fleet,
    path: &str,
    a: &Party,
    b: &Party,
) -> Result<Option<Vec<Attempt>>> {
    if !path.contains(".audit.") {
        return Ok(None);
    }
    let theirs = event(fleet, b).await?;
    let by_event = |name: &str| json!({"tenant": a.id, "event": name});
    let of_tenant = || attempt("tenant", tenant(&b.id), tenant(&absent()));
    let method = path.rsplit('/').next().unwrap_or_default();
    Ok(Some(match method {
        "ListEvents" => of_list(fleet, a, b, "audit-log").await?,
        "TailEvents" => {
            let from = |tenant: &str| json!({"tenant": tenant, "from_index": "0"});
            vec![attempt("tenant", from(&b.id), from(&absent()))]
        }
        "RecordEvents" => {
            let events = json!([{"event_type": "invoice.paid"}]);
            let record =
                |tenant: &str| json!({"tenant": tenant, "source": "shop", "events": events});
            vec![attempt("tenant", record(&b.id), record(&absent()))]
        }
        "GetEvent" | "GetLogProof" => {
            let first = |tenant: &str| json!({"tenant": tenant, "event": "0"});
            vec![
                attempt("tenant", first(&b.id), first(&absent())),
                uncontrolled("event", by_event(&theirs), by_event(&absent())),
            ]
        }
        "GetLogTile" => {
            let tile = |tenant: &str| json!({"tenant": tenant, "level": 0, "index": "0"});
            vec![attempt("tenant", tile(&b.id), tile(&absent()))]
        }
        _ => vec![of_tenant()],
    }))
}

//! Imports and their rows, for the wire.

use tenantry_proto::registry::v1 as wire;
use tenantry_rpc::convert::timestamp;

use crate::domain::import::{Import, Outcome, Row};

pub(crate) fn import(import: Import) -> wire::TenantImport {
    let done = import.done();
    let actor = import.started_by.actor;
    wire::TenantImport {
        id: import.id.to_string(),
        project: import.project,
        format: import.format.name().to_owned(),
        dry_run: import.dry_run,
        state: import.state.name().to_owned(),
        row_count: import.rows,
        done_count: done,
        created_count: import.created,
        existing_count: import.existing,
        refused_count: import.refused,
        started_by: if actor.name.is_empty() {
            actor.id.to_string()
        } else {
            actor.name
        },
        created_at: Some(timestamp(import.created_at)),
        started_at: import.started_at.map(timestamp),
        finished_at: import.finished_at.map(timestamp),
    }
}

/// A row of an import. A dry run's stand-ins for tenants are nobody's business.
pub(crate) fn import_row(row: Row, dry_run: bool) -> wire::TenantImportRow {
    let stands_in = dry_run && row.outcome == Outcome::Created;
    let tenant = row.tenant.filter(|_| !stands_in);
    let (reason, message, violations) = row
        .refusal
        .map(|refusal| (refusal.reason, refusal.message, refusal.violations))
        .unwrap_or_default();
    wire::TenantImportRow {
        row: row.number,
        line: row.line,
        outcome: row.outcome.name().to_owned(),
        tenant_id: tenant.map(|id| id.to_string()).unwrap_or_default(),
        slug: row.slug,
        external_id: row.external_id,
        name: row.name,
        reason,
        message,
        field_violations: violations
            .into_iter()
            .map(|violation| wire::TenantImportFieldViolation {
                field: violation.field,
                description: violation.description,
            })
            .collect(),
    }
}

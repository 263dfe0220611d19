//! The walls between tenants in the database, as a linter of row-level security that isn't ours (PyPI `pgrls`) sees them.

use anyhow::{Context as _, Result};
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use tenantry_testkit::paths;
use tenantry_testkit::process::Command;
use tenantry_testkit::tools::Tool;

use crate::support::fleet;

/// Services that have a schema.
const SCHEMAS: &str = "registry,identity,audit,quota";
/// Rules that don't fit, and why.
const NOT_ASKED: &[&str] = &[
    // Each service's own test has the reviewed list of the tables without tenants, and looks at primary keys too.
    "SEC001", // Each role has one policy on a table, so that none widens another.
    "SEC007",
    // Of speed: a plain current_setting() is as stable, and the planner sees its value.
    "PERF001",
];
/// Findings that were reviewed: what is meant to be so, and why.
const REVIEWED: &[(&str, &str)] = &[
    // The place in a service's feed is the service's own number; no tenant chooses it.
    ("SEC035", "registry.outbox (outbox_feed_n)"),
    ("SEC035", "identity.outbox (outbox_feed_n)"),
    ("SEC035", "audit.outbox (outbox_feed_n)"),
    ("SEC035", "quota.outbox (outbox_feed_n)"),
    // One domain is one tenant's, as one slug and one external id in a project are. That they are taken is what the API says.
    ("SEC035", "registry.domains (domains_in_use)"),
    ("SEC035", "registry.slugs (slugs_project_slug)"),
    ("SEC035", "registry.tenants (tenants_external_id)"),
    // It keeps a purged tenant's id from coming back, reads a table without tenants, and runs as who inserts.
    ("SEC013", "registry.tenants.refuse_purged_tenant"),
    // Members and keys leave word of the places that they take, in a table of the same tenant, as who writes them.
    ("SEC013", "identity.api_keys.note_seat"),
    ("SEC013", "identity.api_keys.note_seat_gone"),
    ("SEC013", "identity.api_keys.note_seat_left"),
    ("SEC013", "identity.memberships.note_seat"),
    // Partitions are made and dropped as their owner, who is behind the walls too; they touch no rows, drop only what has had its
    // time, and the application's role may not call them.
    ("SEC014", "audit.ensure_partition"),
    ("SEC014", "audit.ensure_partitions"),
    ("SEC014", "audit.drop_partition"),
    // Members are seen by those of their tenant who may read members: permissions decide that.
    ("SEC027", "identity.memberships"),
    ("SEC027", "identity.removed_members"),
    // Its owner is a service of the fleet, and nobody of the tenant.
    ("SEC027", "quota.reservations"),
];
/// What the linter says of a policy that shows all rows to its role.
const SHOWS_ALL: &[&str] = &["SEC005", "SEC006", "SEC008", "SEC038"];

/// The policies that show all rows, and are those of the roles that may see all: a schema's own `_owner` and `_platform`,
/// each named alone, neither a member of the other nor of the application's role.
async fn of_roles_that_see_all(database: &str) -> Result<Vec<String>> {
    let mut connection = PgConnection::connect(database).await?;
    let policies = sqlx::query_scalar(
        "SELECT format('%s.%s.%s', schemaname, tablename, policyname) FROM pg_policies
         WHERE policyname IN ('owner', 'platform') AND roles = ARRAY[format('%s_%s', schemaname, policyname)::name]
         AND NOT EXISTS (
             SELECT FROM pg_auth_members AS m
             JOIN pg_roles AS g ON g.oid = m.roleid JOIN pg_roles AS r ON r.oid = m.member
             WHERE g.rolname = roles[1] AND r.rolname = schemaname || '_app')",
    );
    Ok(policies.fetch_all(&mut connection).await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_linter_finds_no_hole_in_any_schema() -> Result<()> {
    let fleet = fleet().await?;
    let database = fleet.superuser_url();
    let log = paths::scratch("pgrls")?.join("log");
    let found = Command::new(Tool::Pgrls.find()?, log)
        .args([
            "lint",
            "--database-url",
            database.as_str(),
            "--schemas",
            SCHEMAS,
        ])
        .args(["--format", "json"])
        .args(NOT_ASKED.iter().flat_map(|rule| ["--exclude-rule", rule]))
        .ended()
        .await?;
    let report: Value = serde_json::from_slice(&found.stdout)
        .with_context(|| String::from_utf8_lossy(&found.stderr).into_owned())?;
    let findings = report["violations"].as_array().context("no report")?;
    let seeing_all = of_roles_that_see_all(database.as_str()).await?;
    let finding = |found: &Value| {
        let of = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
        (of("rule_id"), of("location"))
    };
    let found: Vec<_> = findings.iter().map(finding).collect();
    assert!(
        found.iter().any(|(rule, _)| rule == "SEC038"),
        "the linter's prover isn't there: {found:?}"
    );
    let open: Vec<_> = found
        .iter()
        .filter(|(rule, place)| {
            let meant = SHOWS_ALL.contains(&rule.as_str()) && seeing_all.contains(place);
            !meant && !REVIEWED.contains(&(rule, place))
        })
        .collect();
    assert!(open.is_empty(), "{open:#?}");
    for reviewed in REVIEWED {
        let still = found.iter().any(|(rule, place)| *reviewed == (rule, place));
        assert!(
            still,
            "no longer found, so no longer to be listed: {reviewed:?}"
        );
    }
    Ok(())
}

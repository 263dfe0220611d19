//! Whoever changes the tables behind the service's back is found out by whoever checks an export: each way on a copy of its own.

use tenantry_core::TenantId;

use super::fill;
use crate::support::{Exported, FORMATS, World, all};

/// Number of the changed row, in the middle of the log.
const ROW: i64 = 17;

/// A log of 45 events whose checkpoint was published.
struct Published {
    world: World,
    tenant: TenantId,
    checkpoint: String,
}

impl Published {
    async fn new() -> Self {
        let world = World::start().await;
        let tenant = world.registry.add("acme", 365, None);
        fill(&world, tenant, 30).await;
        let checkpoint = world.all_signed(tenant).await.checkpoint;
        Self {
            world,
            tenant,
            checkpoint,
        }
    }

    /// Exports of a copy that these statements changed. They name the log's rows `log`, and have a function that makes the
    /// hash of a leaf.
    async fn exports(&self, statements: &str) -> Vec<Exported> {
        let prepared = format!(
            "CREATE TEMPORARY VIEW log AS SELECT * FROM events WHERE tenant_id = '{}';
             CREATE FUNCTION pg_temp.leaf_hash(leaf text) RETURNS bytea LANGUAGE sql AS $$
                 SELECT sha256('\\x00'::bytea || convert_to(leaf, 'UTF8'))
             $$;
             {statements}",
            self.tenant
        );
        let replica = self.world.copied(&prepared).await;
        let mut exports = Vec::new();
        for format in FORMATS {
            let export = replica.exported(self.tenant, all(format)).await.unwrap();
            assert!(export.broken_off.is_none(), "{export:?}");
            exports.push(export);
        }
        exports
    }

    /// Asserts that the change is noticed in each form, for this reason, by who has the keys and the published checkpoint.
    async fn noticed(&self, statements: &str, because: &str) {
        for export in self.exports(statements).await {
            let verdict = export.verdict(&self.world.vkeys(), &[&self.checkpoint]);
            verdict.refuses(&[because]);
        }
    }
}

#[tokio::test]
async fn an_untouched_copy_is_proved() {
    let published = Published::new().await;
    for export in published.exports("").await {
        let verdict = export.verdict(&published.world.vkeys(), &[&published.checkpoint]);
        verdict.proves(&[
            "45 of 45 events are in this log",
            "From index 0 to 44 none is missing",
            "signed root",
            "the log of then, 45 events, is the beginning",
        ]);
    }
}

#[tokio::test]
async fn a_changed_row_is_noticed() {
    let published = Published::new().await;
    let not_in_the_log = "index 17: the event isn't in the log at this place";
    for (what, because) in [
        (r#"leaf = replace(leaf, '"New"', '"Old"')"#, not_in_the_log),
        (
            r#"leaf = replace(leaf, 'success', 'denied')"#,
            not_in_the_log,
        ),
        (r#"leaf = replace(leaf, '{"', '{ "')"#, "index 17: "),
        ("leaf = ''", "index 17: "),
        (
            "leaf = (SELECT leaf FROM log WHERE index = 18), disclosed = (SELECT disclosed FROM log WHERE index = 18)",
            not_in_the_log,
        ),
        (
            "disclosed = replace(disclosed, 'grace@', 'eve@')",
            "the value shown for /actor/email isn't the one that the leaf commits to",
        ),
        (
            "disclosed = (SELECT disclosed FROM log WHERE index = 18)",
            "isn't the one that the leaf commits to",
        ),
        ("disclosed = 'none'", "line "),
    ] {
        let change = format!("UPDATE events SET {what} WHERE index = {ROW}");
        published.noticed(&change, because).await;
    }
    // As if it had come before what the plan shows, in a partition that has still some time.
    let earlier =
        "SELECT ensure_partition(class, now() - interval '366 days') FROM log WHERE index = 17;
                   UPDATE events SET received_at = now() - interval '366 days' WHERE index = 17";
    let missing = "index 18: index 17 is missing before it";
    published.noticed(earlier, missing).await;
    // Whoever changes a leaf can make its hash too.
    let rehash = r#"UPDATE events SET leaf = replace(leaf, '"New"', '"Old"') WHERE index = 17;
                    UPDATE events SET leaf_hash = pg_temp.leaf_hash(leaf)"#;
    published.noticed(rehash, not_in_the_log).await;
}

#[tokio::test]
async fn a_removed_row_is_noticed_wherever_it_was() {
    let published = Published::new().await;
    for (index, because) in [
        (0, "index 1: index 0 is missing before it"),
        (ROW, "index 18: index 17 is missing before it"),
        (44, "index 44 is missing at its end"),
    ] {
        let remove = format!("DELETE FROM events WHERE index = {index}");
        published.noticed(&remove, because).await;
    }
    published
        .noticed("DELETE FROM events", "index 0 to 44 are missing at its end")
        .await;
    // And the others moved up, so that there is no gap.
    let close = "DELETE FROM events WHERE index = 17;
                 UPDATE events SET index = -index WHERE index > 17; UPDATE events SET index = -index - 1 WHERE index < 0";
    published
        .noticed(close, "index 17: the event isn't in the log at this place")
        .await;
}

#[tokio::test]
async fn rows_that_changed_places_are_noticed() {
    let published = Published::new().await;
    for (one, other) in [(ROW, 18), (0, 44)] {
        let swap = format!(
            "UPDATE events SET index = -1 WHERE index = {one};
             UPDATE events SET index = {one} WHERE index = {other};
             UPDATE events SET index = {other} WHERE index = -1"
        );
        let because = format!("index {one}: the event isn't in the log at this place");
        published.noticed(&swap, &because).await;
    }
}

#[tokio::test]
async fn an_inserted_row_is_noticed() {
    let published = Published::new().await;
    let because = "index 17: the event isn't in the log at this place";
    for leaf in ["leaf", r#"replace(leaf, '"New"', '"Forged"')"#] {
        let insert = format!(
            "CREATE TEMPORARY TABLE forged AS SELECT * FROM log WHERE index = 5;
             UPDATE forged SET index = 17, leaf = {leaf}, position = 100000;
             UPDATE forged SET leaf_hash = pg_temp.leaf_hash(leaf);
             UPDATE events SET index = -index WHERE index >= 17; UPDATE events SET index = 1 - index WHERE index < 0;
             INSERT INTO events SELECT * FROM forged;"
        );
        published.noticed(&insert, because).await;
        // Also where the log is said to have grown by it, and was signed like that.
        let grown = format!(
            "{insert}
             UPDATE logs SET size = size + 1, waiting_since = now(), queued_at = now() WHERE size = 45"
        );
        published.noticed(&grown, because).await;
    }
}

#[tokio::test]
async fn a_row_of_another_log_is_noticed() {
    let published = Published::new().await;
    let other = published.world.registry.add("other", 365, None);
    fill(&published.world, other, 30).await;
    let foreign = format!(
        "UPDATE events SET (leaf, leaf_hash, disclosed) = (SELECT leaf, leaf_hash, disclosed FROM events WHERE tenant_id = '{other}'
             AND index = 17) WHERE tenant_id = '{}' AND index = 17",
        published.tenant
    );
    published
        .noticed(
            &foreign,
            "index 17: the event isn't in the log at this place",
        )
        .await;
}

/// Against who can have the service sign a changed log helps a checkpoint that was kept, and nothing else.
#[tokio::test]
async fn a_log_that_was_rewritten_and_signed_anew_is_noticed_by_a_kept_checkpoint() {
    let published = Published::new().await;
    let change = format!(
        r#"UPDATE events SET leaf = replace(leaf, '"New"', '"Old"') WHERE index = 17;
           UPDATE events SET leaf_hash = pg_temp.leaf_hash(leaf);
           DELETE FROM trees WHERE tenant_id = '{tenant}'; DELETE FROM tiles WHERE tenant_id = '{tenant}';
           UPDATE logs SET waiting_since = now(), queued_at = now() WHERE tenant_id = '{tenant}'"#,
        tenant = published.tenant
    );
    let prepared = format!(
        "CREATE FUNCTION pg_temp.leaf_hash(leaf text) RETURNS bytea LANGUAGE sql AS $$
             SELECT sha256('\\x00'::bytea || convert_to(leaf, 'UTF8'))
         $$;
         {change}"
    );
    let replica = published.world.copied(&prepared).await;
    let signed = async || Ok(replica.checkpoint(published.tenant).await.ok());
    let within = std::time::Duration::from_secs(30);
    tenantry_testkit::wait::until("checkpoint", within, signed)
        .await
        .unwrap();
    for format in FORMATS {
        let export = replica
            .exported(published.tenant, all(format))
            .await
            .unwrap();
        let keys = published.world.vkeys();
        export.verdict(&keys, &[]).proves(&["45 of 45 events"]);
        let verdict = export.verdict(&keys, &[&published.checkpoint]);
        verdict.refuses(&["SPLIT VIEW"]);
    }
}

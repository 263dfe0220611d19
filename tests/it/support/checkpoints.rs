//! Checkpoints that are published while something is done to a fleet, held against the log afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sqlx::{Connection as _, PgConnection};
use tenantry_testkit::fleet::Fleet;
use tenantry_testkit::wait::until;
use tenantry_transparency::checkpoint::text;
use tenantry_transparency::tree::{TreeHead, leaf_hash};
use tenantry_transparency::{Checkpoint, Frontier, Signers, Tiles};
use tokio::sync::Mutex;
use uuid::Uuid;

/// Pause between two looks at what is published.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Longest time until what was appended is signed, once nothing is done to the fleet any more.
const SIGNED_WITHIN: Duration = Duration::from_secs(30);

/// Signed notes, each with its tenant; none is the fleet's own log.
pub type Published = Mutex<BTreeSet<(Option<Uuid>, String)>>;

/// Collects every checkpoint that is there at some look, until it is told to stop. A database that is away is asked again.
pub async fn collect(fleet: &Fleet, published: &Published, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        if let Ok(notes) = newest(fleet).await {
            published.lock().await.extend(notes);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The newest checkpoint of each log and of the fleet's, as the API gives them.
async fn newest(fleet: &Fleet) -> Result<Vec<(Option<Uuid>, String)>> {
    let mut connection = PgConnection::connect(fleet.superuser_url().as_str()).await?;
    let notes = sqlx::query_as(
        "SELECT tenant_id, checkpoint FROM audit.trees
         UNION ALL SELECT NULL, checkpoint FROM audit.fleet_log WHERE checkpoint IS NOT NULL",
    );
    Ok(notes.fetch_all(&mut connection).await?)
}

/// Waits until all that was appended is signed, and adds those checkpoints too.
async fn signed_to_the_end(
    fleet: &Fleet,
    connection: &mut PgConnection,
    published: &mut BTreeSet<(Option<Uuid>, String)>,
) -> Result<()> {
    let unsigned =
        "SELECT count(*) FROM audit.logs AS l LEFT JOIN audit.trees AS t USING (tenant_id)
         WHERE t.size IS DISTINCT FROM l.size";
    until("checkpoint of every log's end", SIGNED_WITHIN, async || {
        let logs: i64 = sqlx::query_scalar(unsigned)
            .fetch_one(&mut *connection)
            .await?;
        Ok((logs == 0).then_some(()))
    })
    .await?;
    published.extend(newest(fleet).await?);
    Ok(())
}

/// Computes each log anew from its rows: every checkpoint that was ever seen, the one of its end, and every one that the fleet's
/// log names, is of a beginning of it.
pub async fn compare(fleet: &Fleet, mut published: BTreeSet<(Option<Uuid>, String)>) -> Result<()> {
    let mut connection = PgConnection::connect(fleet.superuser_url().as_str()).await?;
    let seen = published.len();
    signed_to_the_end(fleet, &mut connection, &mut published).await?;
    let keys = std::fs::read_to_string(fleet.keys().log_key())?;
    let vkeys = Signers::parse(&keys)?.vkeys();
    let entries: Vec<String> =
        sqlx::query_scalar("SELECT entry FROM audit.fleet_entries ORDER BY index")
            .fetch_all(&mut connection)
            .await?;
    let mut of_log: BTreeMap<Option<Uuid>, BTreeSet<String>> = BTreeMap::new();
    for entry in &entries {
        let tenant = entry
            .lines()
            .next()
            .and_then(|origin| origin.rsplit('/').next());
        let tenant = tenant.context("a tenant")?.parse()?;
        let first = of_log
            .entry(Some(tenant))
            .or_default()
            .insert(entry.clone());
        ensure!(first, "the fleet's log has this twice: {entry}");
    }
    for (tenant, note) in &published {
        let checkpoint = Checkpoint::open(note, &vkeys)?;
        let signed = text(&checkpoint.origin, &checkpoint.head())?;
        let new = of_log.entry(*tenant).or_default().insert(signed);
        ensure!(
            tenant.is_none() || !new,
            "a checkpoint that the fleet's log doesn't have: {note}"
        );
    }
    for (tenant, checkpoints) in &of_log {
        let leaves = match tenant {
            None => entries.clone(),
            Some(tenant) => {
                let leaves = "SELECT leaf FROM audit.events WHERE tenant_id = $1 ORDER BY index";
                let leaves = sqlx::query_scalar(leaves).bind(tenant);
                leaves.fetch_all(&mut connection).await?
            }
        };
        are_of(checkpoints, &leaves).with_context(|| format!("the log of {tenant:?}"))?;
    }
    println!(
        "{} checkpoints of {} logs; {seen} were seen meanwhile",
        entries.len(),
        of_log.len()
    );
    Ok(())
}

/// That these are checkpoints of beginnings of the log with these leaves.
fn are_of(checkpoints: &BTreeSet<String>, leaves: &[String]) -> Result<()> {
    let hashes = leaves.iter().map(|leaf| leaf_hash(leaf.as_bytes()));
    let log = Frontier::new().extend(hashes)?;
    let tiles: Tiles = log.tiles.into_iter().collect();
    for checkpoint in checkpoints {
        let mut lines = checkpoint.lines();
        let origin = lines.next().context("an origin")?;
        let size = lines.next().context("a size")?.parse()?;
        let now = log.head.size;
        ensure!(size <= now, "{size} events were signed, {now} are there");
        let root = tiles.root_at(size, &log.head)?;
        ensure!(
            text(origin, &TreeHead { size, root })? == *checkpoint,
            "the first {size} events are others"
        );
    }
    Ok(())
}

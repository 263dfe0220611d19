//! Checkpoints as they come, and trees computed anew from the rows that they are of.

use std::time::Duration;

use sqlx::Connection as _;
use tenantry_core::{Permission, TenantId};
use tenantry_proto::audit::v1::{
    GetLogCheckpointRequest, GetLogProofRequest, ListFleetEntriesRequest, LogCheckpoint, LogProof,
};
use tenantry_transparency::tree::{leaf_hash, proof_from_text};
use tenantry_transparency::{Checkpoint, Frontier, Hash, Tiles, TreeHead};
use tonic::Status;

use super::{Replica, World, member, operator};

/// Longest wait for what takes a moment.
const SOON: Duration = Duration::from_secs(30);

/// A tree computed anew, with all of its tiles.
pub(crate) struct Tree {
    pub(crate) newest: TreeHead,
    pub(crate) tiles: Tiles,
}

impl Tree {
    /// The tree over these leaves.
    pub(crate) fn of(leaves: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        let leaves = leaves.into_iter().map(|leaf| leaf_hash(leaf.as_ref()));
        let growth = Frontier::new().extend(leaves).unwrap();
        Self {
            newest: growth.head,
            tiles: growth.tiles.into_iter().collect(),
        }
    }

    /// The tree that it was at a size.
    pub(crate) fn at(&self, size: u64) -> TreeHead {
        TreeHead {
            size,
            root: self.tiles.root_at(size, &self.newest).unwrap(),
        }
    }
}

/// Size and root of a note, which this world's keys signed.
#[track_caller]
pub(crate) fn head(world: &World, note: &str) -> TreeHead {
    Checkpoint::open(note, &world.vkeys()).unwrap().head()
}

pub(crate) fn hashes(proof: &[String]) -> Vec<Hash> {
    proof_from_text(proof).unwrap()
}

impl World {
    /// The public keys of this world's log, as its operator would hand them out.
    pub(crate) fn vkeys(&self) -> Vec<String> {
        let file = std::fs::read_to_string(self.keys.log_key()).unwrap();
        tenantry_transparency::Signers::parse(&file)
            .unwrap()
            .vkeys()
    }

    /// The tree over the leaves that a log's rows have.
    pub(crate) async fn rows(&self, tenant: TenantId) -> Tree {
        let leaves: Vec<String> =
            sqlx::query_scalar("SELECT leaf FROM events WHERE tenant_id = $1 ORDER BY index")
                .bind(tenant.uuid())
                .fetch_all(&mut self.owner().await)
                .await
                .unwrap();
        Tree::of(leaves)
    }

    /// A transaction that keeps every replica from signing until it ends.
    pub(crate) async fn nobody_signs(&self) -> NobodySigns {
        let mut held = self.owner().await;
        let hold = "BEGIN; SELECT FROM fleet_log FOR UPDATE";
        sqlx::raw_sql(hold).execute(&mut held).await.unwrap();
        NobodySigns(held)
    }

    /// Waits until a statement about a log or the fleet gives `true`.
    pub(crate) async fn until(&self, what: &'static str, sql: &'static str, tenant: TenantId) {
        let mut owner = self.owner().await;
        let look = async || {
            let found = sqlx::query_scalar::<_, bool>(sql).bind(tenant.uuid());
            Ok(found.fetch_one(&mut owner).await?.then_some(()))
        };
        tenantry_testkit::wait::until(what, SOON, look)
            .await
            .unwrap();
    }

    /// Waits until a checkpoint covers all of a log.
    pub(crate) async fn signed(&self, tenant: TenantId) {
        let sql = "SELECT EXISTS (SELECT FROM logs AS l JOIN trees AS t USING (tenant_id)
                                  WHERE tenant_id = $1 AND l.size = t.size)";
        self.until("checkpoint", sql, tenant).await;
    }

    /// The checkpoint that covers all of a log, once there is one.
    pub(crate) async fn all_signed(&self, tenant: TenantId) -> LogCheckpoint {
        self.signed(tenant).await;
        self.checkpoint(tenant).await.unwrap()
    }
}

/// Dropped, it lets sign again.
pub(crate) struct NobodySigns(sqlx::PgConnection);

impl NobodySigns {
    /// Lets sign again.
    pub(crate) async fn end(self) {
        self.0.close().await.unwrap();
    }
}

impl Replica {
    /// The entries of the fleet's log, all of them.
    pub(crate) async fn entries(&self) -> Vec<String> {
        let mut logs = self.logs(&operator());
        let mut entries = Vec::new();
        loop {
            let request = ListFleetEntriesRequest {
                start_index: entries.len() as i64,
                page_size: 1_000,
            };
            let page = logs.list_fleet_entries(request).await.unwrap().into_inner();
            if page.entries.is_empty() {
                return entries;
            }
            for entry in page.entries {
                assert_eq!(entry.index, entries.len() as i64);
                entries.push(entry.checkpoint);
            }
        }
    }

    /// The newest checkpoint of a log.
    pub(crate) async fn checkpoint(&self, tenant: TenantId) -> Result<LogCheckpoint, Status> {
        let mut logs = self.logs(&member(tenant, &[Permission::AuditRead]));
        let request = GetLogCheckpointRequest::default();
        Ok(logs.get_log_checkpoint(request).await?.into_inner())
    }

    /// A proof of a log.
    pub(crate) async fn proof(
        &self,
        tenant: TenantId,
        event: &str,
        tree_size: u64,
        from_size: u64,
    ) -> Result<LogProof, Status> {
        let mut logs = self.logs(&member(tenant, &[Permission::AuditRead]));
        let request = GetLogProofRequest {
            tenant: String::new(),
            event: event.to_owned(),
            tree_size: tree_size as i64,
            from_size: from_size as i64,
        };
        Ok(logs.get_log_proof(request).await?.into_inner())
    }
}

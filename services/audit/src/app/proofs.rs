//! What outsiders check the logs by: checkpoints, proofs and tiles, each of the log as far as it is checkpointed.

use tenantry_core::{Refusal, TenantId};
use tenantry_transparency::tree::{HASH_BYTES, TILE_WIDTH, levels, width};
use tenantry_transparency::{Hash, TileId};

use super::App;
use crate::domain::proof::{Proof, Question};
use crate::domain::trees::Fleet;
use crate::error::Error;
use crate::store::trees::Checkpointed;
use crate::store::{fleet, tiles, trees};

/// A checkpoint, and that the fleet's log has it.
#[derive(Debug)]
pub(crate) struct InFleet {
    pub(crate) log: Checkpointed,
    /// The fleet's newest checkpoint.
    pub(crate) fleet: String,
    pub(crate) inclusion: Vec<Hash>,
}

/// What is to be proved of a log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// Id or index of an event; none where it is empty.
    pub(crate) event: String,
    /// Size of the tree that is proved for; 0 for that of the newest checkpoint.
    pub(crate) size: u64,
    /// Size of an earlier tree; none where it is 0.
    pub(crate) from: u64,
}

/// A proof, and the leaf that it is about.
#[derive(Debug)]
pub(crate) struct Proved {
    pub(crate) index: Option<u64>,
    /// The event in its canonical form; empty where it is gone.
    pub(crate) leaf: String,
    /// What opens its personal values, as JSON; empty where nothing does.
    pub(crate) disclosed: String,
    pub(crate) proof: Proof,
    /// The signed note of this size; empty for an earlier one.
    pub(crate) checkpoint: String,
}

/// The fleet's newest checkpoint, and that an earlier one was its beginning.
#[derive(Debug)]
pub(crate) struct FleetProved {
    pub(crate) proof: Proof,
    pub(crate) checkpoint: String,
}

impl App {
    /// The newest checkpoint of a log.
    pub(crate) async fn checkpoint(&self, tenant: TenantId) -> Result<InFleet, Error> {
        let mut tx = self.store.read(tenant).await?;
        let log = trees::newest(tx.conn(), tenant).await?;
        let log = log.ok_or(Error::NotYetCheckpointed)?;
        // Read after it, so that it has it.
        let fleet = fleet::newest(tx.conn()).await?;
        let question = Question {
            size: fleet.tree.size,
            leaf: Some(log.fleet_index),
            from: None,
        };
        let wanted = question.tiles(fleet.tree.size)?;
        let tiles = tiles::of_fleet(tx.conn(), &wanted).await?;
        Ok(InFleet {
            inclusion: question.answer(&fleet.tree, &tiles)?.inclusion,
            fleet: fleet.checkpoint.unwrap_or_default(),
            log,
        })
    }

    /// Proves what is asked of a log.
    pub(crate) async fn prove(&self, tenant: TenantId, asked: &Asked) -> Result<Proved, Error> {
        let mut tx = self.store.read(tenant).await?;
        let row = if asked.event.is_empty() {
            None
        } else {
            self.row(tx.conn(), tenant, &asked.event).await?
        };
        let index = match &row {
            Some(row) => u64::try_from(row.index).ok(),
            // By its index an event is proved also when it is gone.
            None => asked.event.parse::<u64>().ok(),
        };
        if index.is_none() && !asked.event.is_empty() {
            return Err(Error::EventNotFound);
        }
        let log = trees::newest(tx.conn(), tenant).await?;
        let log = log.ok_or(Error::NotYetCheckpointed)?;
        let question = question(asked, index, &log)?;
        let wanted = question.tiles(log.tree.size)?;
        let tiles = tiles::of(tx.conn(), tenant, &wanted).await?;
        let proof = question.answer(&log.tree, &tiles)?;
        let newest = proof.tree.size == log.tree.size;
        let (leaf, disclosed) = row.map_or_else(Default::default, |row| {
            (row.leaf, row.disclosed.unwrap_or_default())
        });
        Ok(Proved {
            index,
            leaf,
            disclosed,
            proof,
            checkpoint: if newest {
                log.checkpoint
            } else {
                String::new()
            },
        })
    }

    /// A tile of a log, as far as its newest checkpoint covers it.
    pub(crate) async fn tile(&self, tenant: TenantId, id: TileId) -> Result<Vec<u8>, Error> {
        let mut tx = self.store.read(tenant).await?;
        let log = trees::newest(tx.conn(), tenant).await?;
        let size = log.ok_or(Error::NotYetCheckpointed)?.tree.size;
        if id.level >= levels(size) {
            let most = levels(size) - 1;
            let what = format!(
                "must be at most {most}, in a log of {size} events under its newest checkpoint"
            );
            return Err(Refusal::field("level", what).into());
        }
        let hashes = width(size, id.level);
        let tiles = hashes.div_ceil(TILE_WIDTH as u64);
        if id.index >= tiles {
            let most = tiles - 1;
            let what = format!(
                "must be at most {most} at this level, in a log of {size} events under its newest checkpoint"
            );
            return Err(Refusal::field("index", what).into());
        }
        let mut tile = tiles::one(tx.conn(), tenant, id).await?;
        let tile = tile.take().unwrap_or_default();
        // It may have grown since its size was read.
        let covered = (hashes - id.index * TILE_WIDTH as u64).min(TILE_WIDTH as u64);
        let covered = usize::try_from(covered).unwrap_or(TILE_WIDTH) * HASH_BYTES;
        let tile = tile.get(..covered).map(<[u8]>::to_vec);
        Ok(tile.ok_or(tenantry_transparency::TreeError::MissingTile(id))?)
    }

    /// The fleet's newest checkpoint, with the proof that the log of an earlier size was its beginning; no proof for 0.
    pub(crate) async fn fleet_checkpoint(&self, from: u64) -> Result<FleetProved, Error> {
        let mut tx = self.store.read(TenantId::PLATFORM).await?;
        let Fleet { tree, checkpoint } = fleet::newest(tx.conn()).await?;
        let checkpoint = checkpoint.ok_or(Error::NotYetCheckpointed)?;
        at_most("from_size", from, tree.size)?;
        let question = Question {
            size: tree.size,
            leaf: None,
            from: (from > 0).then_some(from),
        };
        let wanted = question.tiles(tree.size)?;
        let tiles = tiles::of_fleet(tx.conn(), &wanted).await?;
        Ok(FleetProved {
            proof: question.answer(&tree, &tiles)?,
            checkpoint,
        })
    }

    /// Entries of the fleet's log from a place on: place and text.
    pub(crate) async fn fleet_entries(
        &self,
        start: u64,
        limit: u32,
    ) -> Result<Vec<(i64, String)>, Error> {
        let mut tx = self.store.platform().await?;
        Ok(fleet::entries(tx.conn(), start, limit.into()).await?)
    }

    /// The public keys that checkpoints are signed with, the one that signs now first.
    pub(crate) fn log_keys(&self) -> Vec<String> {
        self.signers.get().vkeys()
    }
}

/// What is to be shown, of which tree: what a log that has this checkpoint can show.
fn question(asked: &Asked, index: Option<u64>, log: &Checkpointed) -> Result<Question, Error> {
    let covered = log.tree.size;
    let size = if asked.size == 0 { covered } else { asked.size };
    if let Some(index) = index {
        if index >= log.size {
            return Err(Error::EventNotFound);
        }
        if asked.size > 0 && index >= asked.size {
            let what = format!("must be more than {index}, the index of the event");
            return Err(Refusal::field("tree_size", what).into());
        }
        if index >= covered {
            return Err(Error::NotYetCheckpointed);
        }
    }
    for (field, size) in [("tree_size", asked.size), ("from_size", asked.from)] {
        at_most(field, size, log.size)?;
        if size > covered {
            return Err(Error::NotYetCheckpointed);
        }
    }
    at_most("from_size", asked.from, size)?;
    Ok(Question {
        size,
        leaf: index,
        from: (asked.from > 0).then_some(asked.from),
    })
}

fn at_most(field: &str, size: u64, most: u64) -> Result<(), Refusal> {
    if size <= most {
        return Ok(());
    }
    Err(Refusal::field(
        field,
        format!("must be at most {most}, the size of the log"),
    ))
}

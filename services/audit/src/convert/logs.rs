//! Between the contract's messages about what proves the log, and the use cases.

use tenantry_core::refusal::Violations;
use tenantry_core::{Refusal, TenantId};
use tenantry_proto::audit::v1 as wire;
use tenantry_rpc::convert::timestamp;
use tenantry_transparency::TileId;
use tenantry_transparency::tree::{HASH_BYTES, proof_to_text};

use crate::app::{Asked, FleetProved, InFleet, Proved};

/// A size or place of a request.
pub(crate) fn place(field: &str, number: i64) -> Result<u64, Refusal> {
    u64::try_from(number).map_err(|_| Refusal::field(field, "must not be negative"))
}

pub(crate) fn asked(message: &wire::GetLogProofRequest) -> Result<Asked, Refusal> {
    let mut wrong = Violations::new();
    let mut number = |field: &str, number: i64| {
        wrong.take(
            field,
            u64::try_from(number).map_err(|_| "must not be negative"),
        )
    };
    let size = number("tree_size", message.tree_size);
    let from = number("from_size", message.from_size);
    if message.event.is_empty() && message.from_size == 0 {
        wrong.add(
            "event",
            "name an event by its id or index, or in from_size the size of an earlier checkpoint, or both",
        );
    }
    wrong.check()?;
    Ok(Asked {
        event: message.event.clone(),
        size: size.unwrap_or_default(),
        from: from.unwrap_or_default(),
    })
}

pub(crate) fn tile_id(message: &wire::GetLogTileRequest) -> Result<TileId, Refusal> {
    let mut wrong = Violations::new();
    let level = u8::try_from(message.level).map_err(|_| "must be 0 to 6");
    let level = wrong.take("level", level);
    let index = u64::try_from(message.index).map_err(|_| "must not be negative");
    let index = wrong.take("index", index);
    wrong.check()?;
    Ok(TileId {
        level: level.unwrap_or_default(),
        index: index.unwrap_or_default(),
    })
}

pub(crate) fn checkpoint(tenant: TenantId, found: InFleet) -> wire::LogCheckpoint {
    let log = found.log;
    wire::LogCheckpoint {
        tenant_id: tenant.to_string(),
        tree_size: number(log.tree.size),
        root_hash: log.tree.root.to_string(),
        checkpoint: log.checkpoint,
        signed_at: Some(timestamp(log.signed_at)),
        fleet_index: Some(number(log.fleet_index)),
        fleet_checkpoint: found.fleet,
        fleet_inclusion: proof_to_text(&found.inclusion),
    }
}

pub(crate) fn proof(tenant: TenantId, asked: &Asked, proved: Proved) -> wire::LogProof {
    wire::LogProof {
        tenant_id: tenant.to_string(),
        index: proved.index.map(number),
        tree_size: number(proved.proof.tree.size),
        leaf: proved.leaf,
        disclosed: proved.disclosed,
        inclusion: proof_to_text(&proved.proof.inclusion),
        consistency_from: (asked.from > 0).then(|| number(asked.from)),
        consistency: proof_to_text(&proved.proof.consistency),
        root_hash: proved.proof.tree.root.to_string(),
        checkpoint: proved.checkpoint,
    }
}

pub(crate) fn tile(id: TileId, hashes: Vec<u8>) -> wire::LogTile {
    wire::LogTile {
        level: id.level.into(),
        index: number(id.index),
        width: i32::try_from(hashes.len() / HASH_BYTES).unwrap_or(i32::MAX),
        hashes,
    }
}

pub(crate) fn fleet_checkpoint(proved: FleetProved) -> wire::FleetCheckpoint {
    wire::FleetCheckpoint {
        tree_size: number(proved.proof.tree.size),
        root_hash: proved.proof.tree.root.to_string(),
        checkpoint: proved.checkpoint,
        consistency: proof_to_text(&proved.proof.consistency),
    }
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

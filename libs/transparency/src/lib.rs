//! The format of the tamper-evident log, as the service that writes it and whoever verifies it offline share it: leaves in
//! one canonical form, whose personal values can be erased; RFC 6962 trees in tiles; signed checkpoints. Pure: no I/O.

pub mod canonical;
pub mod checkpoint;
pub mod leaf;
pub mod pointer;
pub mod tree;

pub use checkpoint::{Checkpoint, CheckpointError, Signers, origin_of_fleet, origin_of_tenant};
pub use leaf::{Disclosure, Disclosures, Leaf, LeafError, Salt};
pub use tlog_tiles::Hash;
pub use tree::{
    Frontier, Growth, TileId, Tiles, TreeError, TreeHead, check_consistency, check_inclusion,
};

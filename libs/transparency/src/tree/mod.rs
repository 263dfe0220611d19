//! Merkle trees as in RFC 6962, their hashes kept in tiles of height 8 (C2SP tlog-tiles): how they grow, and their proofs.

mod frontier;
mod tiles;

use std::fmt;

use tlog_tiles::Hash;

pub use frontier::{Frontier, Growth};
pub use tiles::Tiles;

/// Height of a tile: it holds up to 2^8 hashes of one level, and stands for all that lies between them and the next level.
pub const TILE_HEIGHT: u8 = 8;
/// Most hashes in a tile.
pub const TILE_WIDTH: usize = 1 << TILE_HEIGHT;
/// Size of a hash.
pub const HASH_BYTES: usize = tlog_tiles::HASH_SIZE;
/// More leaves than any log will have; sizes stay below what arithmetic on levels can hold.
pub const MAX_SIZE: u64 = 1 << 53;
/// A proof has one hash at most for each level, and one more.
const MAX_PROOF: usize = 64;

/// How many leaves a tree has, and the root over them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TreeHead {
    /// Number of leaves.
    pub size: u64,
    /// Root over the first `size` leaves.
    pub root: Hash,
}

impl TreeHead {
    /// The tree without leaves.
    pub const EMPTY: Self = Self {
        size: 0,
        root: tlog_tiles::EMPTY_HASH,
    };
}

/// Which tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    /// Level of tiles: the hashes of level 0 are those of leaves, each hash of level 1 is the root over a whole tile of level
    /// 0, and so on.
    pub level: u8,
    /// Its place among the tiles of its level, from 0.
    pub index: u64,
}

impl fmt::Display for TileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile {} of level {}", self.index, self.level)
    }
}

/// Why a tree can't do what is asked, or a proof shows nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The leaf, or the smaller tree, isn't in the tree.
    #[error("{asked} isn't within a tree of {size}")]
    NotInTree {
        /// What was asked for: an index or a size.
        asked: u64,
        /// Size of the tree.
        size: u64,
    },
    /// More leaves than [`MAX_SIZE`].
    #[error("a tree has no more than {MAX_SIZE} leaves")]
    TooLarge,
    /// A tile that is needed isn't there, or has too few hashes.
    #[error("{0} is missing or too short")]
    MissingTile(TileId),
    /// The tiles aren't those of the tree with this root.
    #[error("the tiles don't lead to the root")]
    WrongTiles,
    /// The proof doesn't show what it should.
    #[error("the proof doesn't show it")]
    WrongProof,
    /// A text is no hash.
    #[error("{0:?} is no hash: it is 32 bytes in base64")]
    NotAHash(String),
}

/// The hash of a leaf (RFC 6962, section 2.1).
#[must_use]
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    tlog_tiles::record_hash(leaf)
}

/// Checks that the tree has this leaf at this index (RFC 6962, section 2.1.1).
///
/// # Errors
/// For a proof that doesn't show it, and an index beyond the tree.
pub fn check_inclusion(
    tree: &TreeHead,
    index: u64,
    leaf: Hash,
    proof: &[Hash],
) -> Result<(), TreeError> {
    within(index, tree.size)?;
    if proof.len() > MAX_PROOF {
        return Err(TreeError::WrongProof);
    }
    tlog_tiles::check_record(&proof.to_vec(), tree.size, tree.root, index, leaf)
        .map_err(|_| TreeError::WrongProof)
}

/// Checks that the first leaves of a tree are those of an earlier one (RFC 6962, section 2.1.2). The empty tree is the
/// beginning of each, and needs no proof.
///
/// # Errors
/// For a proof that doesn't show it, and an earlier tree that is the larger one.
pub fn check_consistency(
    earlier: &TreeHead,
    tree: &TreeHead,
    proof: &[Hash],
) -> Result<(), TreeError> {
    if earlier.size > tree.size {
        return Err(TreeError::NotInTree {
            asked: earlier.size,
            size: tree.size,
        });
    }
    let holds = if earlier.size == 0 {
        proof.is_empty() && *earlier == TreeHead::EMPTY
    } else {
        let (old, new) = (earlier, tree);
        proof.len() <= MAX_PROOF
            && tlog_tiles::check_tree(&proof.to_vec(), new.size, new.root, old.size, old.root)
                .is_ok()
    };
    holds.then_some(()).ok_or(TreeError::WrongProof)
}

/// The hashes of a proof, as texts in base64.
#[must_use]
pub fn proof_to_text(proof: &[Hash]) -> Vec<String> {
    proof.iter().map(ToString::to_string).collect()
}

/// Reads what [`proof_to_text`] wrote.
///
/// # Errors
/// For the first text that is no hash.
pub fn proof_from_text(texts: &[impl AsRef<str>]) -> Result<Vec<Hash>, TreeError> {
    let hash = |text: &str| {
        Hash::parse_hash(text).map_err(|_| TreeError::NotAHash(text.chars().take(64).collect()))
    };
    texts.iter().map(|text| hash(text.as_ref())).collect()
}

fn within(index: u64, size: u64) -> Result<(), TreeError> {
    let error = TreeError::NotInTree { asked: index, size };
    (index < size).then_some(()).ok_or(error)
}

/// How many hashes the tree of this size has at a level of tiles.
#[must_use]
pub const fn width(size: u64, level: u8) -> u64 {
    size >> (TILE_HEIGHT * level)
}

/// How many levels of tiles a tree of this size has.
#[must_use]
pub fn levels(size: u64) -> u8 {
    (0..)
        .take_while(|level| width(size, *level) > 0)
        .fold(0, |count, _| count + 1)
}

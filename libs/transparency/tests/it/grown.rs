//! Trees to compare: one kept the plain way, and one in tiles.

use std::collections::BTreeMap;

use tenantry_transparency::{Frontier, Growth, Hash, TileId, Tiles, TreeHead};
use tlog_tiles::HashReader;

/// A tree kept the plain way: every hash, in the order of the Go implementation.
#[derive(Default)]
pub(crate) struct Plain {
    hashes: Vec<Hash>,
    pub(crate) size: u64,
}

impl HashReader for Plain {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        let hash = |index: &u64| self.hashes[usize::try_from(*index).unwrap()];
        Ok(indexes.iter().map(hash).collect())
    }
}

impl Plain {
    pub(crate) fn of(size: u64) -> Self {
        let mut plain = Self::default();
        while plain.size < size {
            plain.push();
        }
        plain
    }

    pub(crate) fn push(&mut self) {
        let new =
            tlog_tiles::stored_hashes_for_record_hash(self.size, leaf(self.size), self).unwrap();
        self.hashes.extend(new);
        self.size += 1;
    }

    pub(crate) fn head(&self, size: u64) -> TreeHead {
        let root = tlog_tiles::tree_hash(size, self).unwrap();
        TreeHead { size, root }
    }
}

pub(crate) fn leaf(index: u64) -> Hash {
    tlog_tiles::record_hash(&index.to_be_bytes())
}

/// Keeps tiles as a store does.
#[derive(Default)]
pub(crate) struct Kept(pub(crate) BTreeMap<TileId, Vec<u8>>);

impl Kept {
    fn keep(&mut self, growth: &Growth) {
        for (id, hashes) in &growth.tiles {
            let before = self.0.insert(*id, hashes.clone()).unwrap_or_default();
            assert!(before.len() < hashes.len() && hashes.starts_with(&before));
        }
    }

    pub(crate) fn some(&self, ids: &[TileId]) -> Tiles {
        ids.iter().map(|id| (*id, self.0[id].clone())).collect()
    }

    /// Appends as a replica does that knows nothing but the head: it reads the edge, appends, and keeps what changed.
    pub(crate) fn grow(&mut self, head: &TreeHead, to: u64) -> TreeHead {
        let edge = self.some(&Frontier::tiles_of(head.size));
        let mut frontier = Frontier::restore(head, &edge).unwrap();
        let growth = frontier.extend((head.size..to).map(leaf)).unwrap();
        self.keep(&growth);
        growth.head
    }

    pub(crate) fn prove_leaf(&self, head: &TreeHead, index: u64) -> Vec<Hash> {
        let tiles = self.some(&Tiles::of_inclusion(head.size, index).unwrap());
        tiles.prove_inclusion(head, index).unwrap()
    }

    pub(crate) fn prove_prefix(&self, head: &TreeHead, earlier: u64) -> Vec<Hash> {
        let tiles = self.some(&Tiles::of_consistency(earlier, head.size).unwrap());
        tiles.prove_consistency(earlier, head).unwrap()
    }
}

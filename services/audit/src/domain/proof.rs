//! What is proved of a log, and from which of its tiles.

use tenantry_transparency::{Hash, TileId, Tiles, TreeError, TreeHead};

/// What is to be shown of a log's tree at a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// Size of the tree that is proved for.
    pub(crate) size: u64,
    /// Index of a leaf that it has.
    pub(crate) leaf: Option<u64>,
    /// Size of an earlier tree that is its beginning.
    pub(crate) from: Option<u64>,
}

/// What shows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Proof {
    /// The tree that it is about.
    pub(crate) tree: TreeHead,
    /// Empty where no leaf was asked for.
    pub(crate) inclusion: Vec<Hash>,
    /// Empty where no earlier tree was asked for.
    pub(crate) consistency: Vec<Hash>,
}

impl Question {
    /// The tiles that it takes to answer, of a tree that has become this large.
    pub(crate) fn tiles(&self, newest: u64) -> Result<Vec<TileId>, TreeError> {
        let mut tiles = Tiles::of_consistency(self.size, newest)?;
        if let Some(leaf) = self.leaf {
            tiles.extend(Tiles::of_inclusion(self.size, leaf)?);
        }
        if let Some(from) = self.from {
            tiles.extend(Tiles::of_consistency(from, self.size)?);
        }
        tiles.sort_unstable();
        tiles.dedup();
        Ok(tiles)
    }

    /// The answer. Everything in it is held against the newest root: tiles that were changed show nothing.
    pub(crate) fn answer(&self, newest: &TreeHead, tiles: &Tiles) -> Result<Proof, TreeError> {
        let tree = TreeHead {
            size: self.size,
            root: tiles.root_at(self.size, newest)?,
        };
        let inclusion = self.leaf.map(|leaf| tiles.prove_inclusion(&tree, leaf));
        let consistency = self.from.map(|from| tiles.prove_consistency(from, &tree));
        Ok(Proof {
            tree,
            inclusion: inclusion.transpose()?.unwrap_or_default(),
            consistency: consistency.transpose()?.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use tenantry_transparency::tree::leaf_hash;
    use tenantry_transparency::{Frontier, check_consistency, check_inclusion};

    use super::*;

    fn leaf(index: u64) -> Hash {
        leaf_hash(&index.to_be_bytes())
    }

    #[test]
    fn every_leaf_and_every_earlier_tree_of_every_size_is_shown_from_the_tiles_of_the_newest() {
        let mut frontier = Frontier::new();
        let newest = frontier.extend((0..300).map(leaf)).unwrap();
        let all: Tiles = newest.tiles.iter().cloned().collect();
        let some = |ids: &[TileId]| -> Tiles {
            let kept = newest.tiles.iter().filter(|(id, _)| ids.contains(id));
            kept.cloned().collect()
        };
        let head = |size| TreeHead {
            size,
            root: all.root_at(size, &newest.head).unwrap(),
        };
        for size in [1, 2, 3, 7, 8, 255, 256, 257, 299, 300] {
            for of in [0, 1, 2, size / 2, size - 1] {
                let question = Question {
                    size,
                    leaf: (of < size).then_some(of),
                    from: (of <= size).then_some(of),
                };
                let tiles = some(&question.tiles(300).unwrap());
                let proof = question.answer(&newest.head, &tiles).unwrap();
                assert_eq!(proof.tree, head(size));
                if of < size {
                    check_inclusion(&proof.tree, of, leaf(of), &proof.inclusion).unwrap();
                }
                if of <= size {
                    check_consistency(&head(of), &proof.tree, &proof.consistency).unwrap();
                }
            }
        }
    }
}

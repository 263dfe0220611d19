//! Tiles held in memory, and the proofs that are made of them. Each proof is checked before it is handed out, so a tile that
//! was changed where it is kept is noticed here. The reader of `tlog_tiles` 0.2 that checks tiles themselves isn't used: it
//! passes over some of them, as Go's did from which it was ported.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};

use tlog_tiles::{Hash, HashReader, Tile};

use super::{
    HASH_BYTES, MAX_SIZE, TILE_HEIGHT, TileId, TreeError, TreeHead, check_consistency,
    check_inclusion, within,
};

/// Some tiles of one tree, as they were kept. A tile that has grown since serves for an earlier size too.
#[derive(Clone, Debug, Default)]
pub struct Tiles {
    tiles: BTreeMap<TileId, Vec<u8>>,
}

impl FromIterator<(TileId, Vec<u8>)> for Tiles {
    fn from_iter<T: IntoIterator<Item = (TileId, Vec<u8>)>>(tiles: T) -> Self {
        let tiles = tiles.into_iter().collect();
        Self { tiles }
    }
}

impl Tiles {
    /// No tiles.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            tiles: BTreeMap::new(),
        }
    }

    /// Adds a tile, in the place of what was known of it.
    pub fn insert(&mut self, id: TileId, hashes: Vec<u8>) {
        self.tiles.insert(id, hashes);
    }

    /// The first so many hashes of a tile.
    pub(super) fn get(&self, id: TileId, hashes: usize) -> Result<&[u8], TreeError> {
        self.tiles
            .get(&id)
            .and_then(|tile| tile.get(..hashes * HASH_BYTES))
            .ok_or(TreeError::MissingTile(id))
    }

    /// The tiles that [`Self::prove_inclusion`] needs.
    ///
    /// # Errors
    /// For an index that isn't in the tree, and a tree that is too large.
    pub fn of_inclusion(size: u64, index: u64) -> Result<Vec<TileId>, TreeError> {
        Self::of_inclusions(size, &[index])
    }

    /// The proof that the tree has the leaf of this index (RFC 6962, section 2.1.1). It is held against the root.
    ///
    /// # Errors
    /// For an index that isn't in the tree, and tiles that are missing or aren't the tree's.
    pub fn prove_inclusion(&self, tree: &TreeHead, index: u64) -> Result<Vec<Hash>, TreeError> {
        let mut proofs = self.prove_inclusions(tree, &[index])?;
        Ok(proofs.pop().unwrap_or_default())
    }

    /// The tiles that [`Self::prove_inclusions`] needs.
    ///
    /// # Errors
    /// As [`Self::of_inclusion`].
    pub fn of_inclusions(size: u64, indexes: &[u64]) -> Result<Vec<TileId>, TreeError> {
        let each = |shelf: &Shelf| {
            let mut indexes = indexes.iter();
            indexes.try_for_each(|index| leaf_proof(shelf, size, *index).map(|_| ()))
        };
        needed(each)
    }

    /// The same proofs as [`Self::prove_inclusion`] makes, for many leaves at once: neighbours share most of the work.
    ///
    /// # Errors
    /// As [`Self::prove_inclusion`].
    pub fn prove_inclusions(
        &self,
        tree: &TreeHead,
        indexes: &[u64],
    ) -> Result<Vec<Vec<Hash>>, TreeError> {
        let shelf = Shelf::of(self);
        let prove = |index: &u64| {
            let (leaf, proof) = leaf_proof(&shelf, tree.size, *index)?;
            check_inclusion(tree, *index, leaf, &proof).map_err(|_| TreeError::WrongTiles)?;
            Ok(proof)
        };
        indexes.iter().map(prove).collect()
    }

    /// The tiles that [`Self::prove_consistency`] and [`Self::root_at`] need.
    ///
    /// # Errors
    /// For an earlier size that is the larger one, and a tree that is too large.
    pub fn of_consistency(earlier: u64, size: u64) -> Result<Vec<TileId>, TreeError> {
        needed(|shelf| prefix_proof(shelf, earlier, size).map(|_| ()))
    }

    /// The proof that the first leaves of the tree are those of the tree of an earlier size (RFC 6962, section 2.1.2). It is
    /// held against the root. Empty for size 0 and for the tree itself.
    ///
    /// # Errors
    /// For an earlier size that is the larger one, and tiles that are missing or aren't the tree's.
    pub fn prove_consistency(&self, earlier: u64, tree: &TreeHead) -> Result<Vec<Hash>, TreeError> {
        self.prefix(earlier, tree).map(|(_, proof)| proof)
    }

    /// The root that the tree had at an earlier size. It is held against the present root.
    ///
    /// # Errors
    /// As [`Self::prove_consistency`].
    pub fn root_at(&self, earlier: u64, tree: &TreeHead) -> Result<Hash, TreeError> {
        self.prefix(earlier, tree).map(|(root, _)| root)
    }

    fn prefix(&self, size: u64, tree: &TreeHead) -> Result<(Hash, Vec<Hash>), TreeError> {
        if size == tree.size {
            return Ok((tree.root, Vec::new()));
        }
        let (root, proof) = prefix_proof(&Shelf::of(self), size, tree.size)?;
        let earlier = TreeHead { size, root };
        check_consistency(&earlier, tree, &proof).map_err(|_| TreeError::WrongTiles)?;
        Ok((root, proof))
    }
}

/// The leaf, and the proof of it.
fn leaf_proof(shelf: &Shelf, size: u64, index: u64) -> Result<(Hash, Vec<Hash>), TreeError> {
    if size > MAX_SIZE {
        return Err(TreeError::TooLarge);
    }
    within(index, size)?;
    let place = tlog_tiles::stored_hash_index(0, index);
    let leaf = shelf.read(|shelf| shelf.read_hashes(&[place]))?;
    let proof = shelf.read(|shelf| tlog_tiles::prove_record(size, index, shelf))?;
    Ok((leaf[0], proof))
}

/// The root that a tree had at a size, and the proof of it.
fn prefix_proof(shelf: &Shelf, earlier: u64, size: u64) -> Result<(Hash, Vec<Hash>), TreeError> {
    if size > MAX_SIZE {
        return Err(TreeError::TooLarge);
    }
    within(earlier, size + 1)?;
    if earlier == 0 || earlier == size {
        // Nothing has to be read for it.
        return Ok((TreeHead::EMPTY.root, Vec::new()));
    }
    let root = shelf.read(|shelf| tlog_tiles::tree_hash(earlier, shelf))?;
    let proof = shelf.read(|shelf| tlog_tiles::prove_tree(size, earlier, shelf))?;
    Ok((root, proof))
}

/// The tiles that are read for something.
fn needed(read: impl FnOnce(&Shelf) -> Result<(), TreeError>) -> Result<Vec<TileId>, TreeError> {
    let shelf = Shelf::default();
    read(&shelf)?;
    Ok(shelf.asked.take().into_iter().collect())
}

/// Finds hashes in tiles, and notes which tiles are asked for. Without tiles, it only notes.
#[derive(Default)]
struct Shelf<'a> {
    tiles: Option<&'a Tiles>,
    asked: RefCell<BTreeSet<TileId>>,
    missing: Cell<Option<TileId>>,
    /// Hashes that were found or made from a tile.
    known: RefCell<HashMap<u64, Hash>>,
}

impl<'a> Shelf<'a> {
    fn of(tiles: &'a Tiles) -> Self {
        Self {
            tiles: Some(tiles),
            ..Self::default()
        }
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&Self) -> Result<T, tlog_tiles::Error>,
    ) -> Result<T, TreeError> {
        read(self).map_err(|_| match self.missing.take() {
            Some(id) => TreeError::MissingTile(id),
            None => TreeError::WrongTiles,
        })
    }

    fn hash(&self, place: u64) -> Result<Hash, tlog_tiles::Error> {
        if let Some(known) = self.known.borrow().get(&place) {
            return Ok(*known);
        }
        let tile = Tile::from_index(TILE_HEIGHT, place);
        let id = TileId {
            level: tile.level(),
            index: tile.level_index(),
        };
        self.asked.borrow_mut().insert(id);
        let Some(tiles) = self.tiles else {
            return Ok(Hash::default());
        };
        let Ok(hashes) = tiles.get(id, tile.width() as usize) else {
            self.missing.set(Some(id));
            return Err(tlog_tiles::Error::InvalidTile);
        };
        let hash = tile.hash_at_index(hashes, place)?;
        self.known.borrow_mut().insert(place, hash);
        Ok(hash)
    }
}

impl HashReader for Shelf<'_> {
    fn read_hashes(&self, places: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        places.iter().map(|place| self.hash(*place)).collect()
    }
}

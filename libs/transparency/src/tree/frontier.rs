//! The right edge of a tree: all that it takes to go on appending, and to know the root. Its size doesn't grow with the
//! tree's beyond one tile for each level.

use tlog_tiles::{Hash, Tile};

use super::{HASH_BYTES, MAX_SIZE, TILE_WIDTH, TileId, Tiles, TreeError, TreeHead, levels, width};

/// The hashes at the right edge of a tree.
#[derive(Clone, Debug)]
pub struct Frontier {
    size: u64,
    /// For each level of tiles the hashes of its last tile, as long as that isn't full.
    levels: Vec<Vec<u8>>,
}

/// What a tree became.
#[derive(Clone, Debug, PartialEq)]
pub struct Growth {
    /// Its new size and root.
    pub head: TreeHead,
    /// The tiles that are new or became longer, each with all of its hashes.
    pub tiles: Vec<(TileId, Vec<u8>)>,
}

impl Default for Frontier {
    fn default() -> Self {
        Self::new()
    }
}

impl Frontier {
    /// The edge of the tree without leaves.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            size: 0,
            levels: Vec::new(),
        }
    }

    /// The tiles that [`Self::restore`] needs for a tree of this size.
    #[must_use]
    pub fn tiles_of(size: u64) -> Vec<TileId> {
        (0..levels(size))
            .filter(|level| partial(size, *level) > 0)
            .map(|level| last_tile(size, level))
            .collect()
    }

    /// The edge of a tree whose last tiles are kept. They are held against the root, so that nothing is built on others.
    ///
    /// # Errors
    /// For tiles that are missing or too short, or not those of the tree with this root.
    pub fn restore(tree: &TreeHead, tiles: &Tiles) -> Result<Self, TreeError> {
        let size = tree.size;
        if size > MAX_SIZE {
            return Err(TreeError::TooLarge);
        }
        let level = |level| match partial(size, level) {
            0 => Ok(Vec::new()),
            hashes => tiles
                .get(last_tile(size, level), hashes)
                .map(<[u8]>::to_vec),
        };
        let levels = (0..levels(size)).map(level).collect::<Result<_, _>>()?;
        let frontier = Self { size, levels };
        if frontier.root() != tree.root {
            return Err(TreeError::WrongTiles);
        }
        Ok(frontier)
    }

    /// How many leaves the tree has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Size and root.
    #[must_use]
    pub fn head(&self) -> TreeHead {
        TreeHead {
            size: self.size,
            root: self.root(),
        }
    }

    /// The root over all leaves so far.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut root = None;
        for hashes in &self.levels {
            // What lies rightmost is smallest: each hash of a lower level covers less than one of this.
            let mut rest = hashes.as_slice();
            while !rest.is_empty() {
                let count = rest.len() / HASH_BYTES;
                let whole = 1 << count.trailing_zeros();
                let (before, subtree) = rest.split_at((count - whole) * HASH_BYTES);
                let left = Tile::subtree_hash(subtree);
                root = Some(root.map_or(left, |right| tlog_tiles::node_hash(left, right)));
                rest = before;
            }
        }
        root.unwrap_or(tlog_tiles::EMPTY_HASH)
    }

    /// Appends a leaf. Each tile that becomes full is handed over.
    ///
    /// # Errors
    /// TooLarge beyond [`MAX_SIZE`] leaves.
    pub fn push(
        &mut self,
        leaf: Hash,
        mut full: impl FnMut(TileId, Vec<u8>),
    ) -> Result<(), TreeError> {
        if self.size >= MAX_SIZE {
            return Err(TreeError::TooLarge);
        }
        self.size += 1;
        let mut hash = leaf;
        for level in 0.. {
            if self.levels.len() <= usize::from(level) {
                self.levels.push(Vec::new());
            }
            let hashes = &mut self.levels[usize::from(level)];
            hashes.extend_from_slice(&hash.0);
            if hashes.len() < TILE_WIDTH * HASH_BYTES {
                break;
            }
            let tile = std::mem::take(hashes);
            hash = Tile::subtree_hash(&tile);
            let index = width(self.size, level) / TILE_WIDTH as u64 - 1;
            full(TileId { level, index }, tile);
        }
        Ok(())
    }

    /// Appends leaves to the tree and tells which tiles to keep.
    ///
    /// # Errors
    /// TooLarge beyond [`MAX_SIZE`] leaves.
    pub fn extend(&mut self, leaves: impl IntoIterator<Item = Hash>) -> Result<Growth, TreeError> {
        let before = self.size;
        let mut tiles = Vec::new();
        for leaf in leaves {
            self.push(leaf, |id, bytes| tiles.push((id, bytes)))?;
        }
        for (level, hashes) in (0..).zip(&self.levels) {
            if !hashes.is_empty() && width(before, level) != width(self.size, level) {
                tiles.push((last_tile(self.size, level), hashes.clone()));
            }
        }
        Ok(Growth {
            head: self.head(),
            tiles,
        })
    }
}

/// How many hashes the last tile of a level has, when it isn't full.
fn partial(size: u64, level: u8) -> usize {
    usize::try_from(width(size, level) % TILE_WIDTH as u64).unwrap_or_default()
}

fn last_tile(size: u64, level: u8) -> TileId {
    TileId {
        level,
        index: width(size, level) / TILE_WIDTH as u64,
    }
}

//! How logs come under checkpoints: which leaves a turn takes up, what a tree becomes by them, and when nothing is signed.

use jiff::Timestamp;
use tenantry_core::TenantId;
use tenantry_transparency::tree::{HASH_BYTES, leaf_hash};
use tenantry_transparency::{
    Frontier, Growth, Hash, Signers, TileId, Tiles, TreeHead, checkpoint, origin_of_fleet,
    origin_of_tenant,
};

/// A log that waits for a checkpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) tenant: TenantId,
    /// How many events it has.
    pub(crate) size: u64,
    /// Its tree, as far as it is checkpointed.
    pub(crate) tree: TreeHead,
    /// Not after the first event without a checkpoint came.
    pub(crate) since: Timestamp,
}

/// Leaves of a log in the order of their indexes, as their rows have them.
#[derive(Clone, Debug)]
pub(crate) struct Leaves {
    pub(crate) indexes: Vec<i64>,
    /// Their hashes, one behind the other.
    pub(crate) hashes: Vec<u8>,
    /// When the last of them came.
    pub(crate) last_at: Timestamp,
}

/// Why no checkpoint is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Alarm {
    /// An event is missing, or there twice.
    #[error("the log's events aren't there once each")]
    Events,
    /// The log has fewer events than its checkpoint says.
    #[error("the log is shorter than its checkpoint")]
    Shorter,
    /// The tiles aren't those of the tree that was signed last.
    #[error("the tiles aren't those of the tree that was signed last")]
    Tiles,
    /// The keys are those of logs of another name.
    #[error("the keys are of another name than what was signed with the last ones")]
    KeyName,
    /// A fault of ours.
    #[error("it can't be signed")]
    Fault,
}

impl Alarm {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Events => "events_missing",
            Self::Shorter => "shorter_than_checkpoint",
            Self::Tiles => "tiles_differ",
            Self::KeyName => "key_name_differs",
            Self::Fault => "fault",
        }
    }
}

/// A log's tree as it became, and its checkpoint.
#[derive(Clone, Debug)]
pub(crate) struct Grown {
    pub(crate) tenant: TenantId,
    pub(crate) growth: Growth,
    /// The signed note.
    pub(crate) checkpoint: String,
    /// What of it is a leaf of the fleet's log.
    pub(crate) entry: String,
}

/// The fleet's log, as far as it is checkpointed.
#[derive(Clone, Debug)]
pub(crate) struct Fleet {
    pub(crate) tree: TreeHead,
    /// Its newest checkpoint; none before the first.
    pub(crate) checkpoint: Option<String>,
}

/// The size that each log's tree is to have behind a turn of so many leaves: what all have fits in, or each has a fair share
/// and is taken up again.
pub(crate) fn shares(waiting: &[Waiting], leaves: u64) -> Vec<u64> {
    let mut by_need: Vec<usize> = (0..waiting.len()).collect();
    let need = |place: usize| waiting[place].size.saturating_sub(waiting[place].tree.size);
    by_need.sort_by_key(|place| need(*place));
    let mut sizes = vec![0; waiting.len()];
    let (mut left, mut others) = (leaves, waiting.len() as u64);
    for place in by_need {
        let share = need(place).min(left / others);
        sizes[place] = waiting[place].tree.size + share;
        left -= share;
        others -= 1;
    }
    sizes
}

impl Leaves {
    /// Whether these are the leaves from one index up to another, each once.
    pub(crate) fn are(&self, from: u64, to: u64) -> bool {
        let indexes = self.indexes.iter().map(|index| u64::try_from(*index).ok());
        indexes.eq((from..to).map(Some)) && self.hashes.len() == self.indexes.len() * HASH_BYTES
    }

    fn hashes(&self) -> impl Iterator<Item = Hash> {
        let (hashes, _) = self.hashes.as_chunks::<HASH_BYTES>();
        hashes.iter().map(|hash| Hash(*hash))
    }
}

/// The tiles that [`grow`] needs of a log.
pub(crate) fn edge(tree: &TreeHead) -> Vec<TileId> {
    Frontier::tiles_of(tree.size)
}

/// Lets a log's tree grow to a size, and signs it: only as a continuation of the tree that was signed last, by leaves none of
/// which is missing.
pub(crate) fn grow(
    signers: &Signers,
    log: &Waiting,
    to: u64,
    edge: &Tiles,
    leaves: Option<&Leaves>,
) -> Result<Grown, Alarm> {
    if log.size < log.tree.size {
        return Err(Alarm::Shorter);
    }
    let leaves = leaves.filter(|leaves| leaves.are(log.tree.size, to));
    let leaves = leaves.ok_or(Alarm::Events)?;
    let growth = extend(&log.tree, edge, leaves.hashes())?;
    let origin = origin_of_tenant(signers.name(), log.tenant);
    Ok(Grown {
        tenant: log.tenant,
        checkpoint: sign(signers, &origin, &growth.head)?,
        entry: checkpoint::text(&origin, &growth.head).map_err(|_| Alarm::Fault)?,
        growth,
    })
}

impl Fleet {
    /// The fleet's log once it has these checkpoints, and its own.
    pub(crate) fn grow(
        &self,
        signers: &Signers,
        edge: &Tiles,
        grown: &[Grown],
    ) -> Result<(Growth, String), Alarm> {
        let entries = grown.iter().map(|one| leaf_hash(one.entry.as_bytes()));
        let growth = extend(&self.tree, edge, entries)?;
        let note = sign(signers, &origin_of_fleet(signers.name()), &growth.head)?;
        Ok((growth, note))
    }

    /// Refuses keys of another name than that of the checkpoints so far: a log can't change its name.
    pub(crate) fn check_name(&self, signers: &Signers) -> Result<(), Alarm> {
        let origin = origin_of_fleet(signers.name());
        let named = |note: &String| note.lines().next() == Some(origin.as_str());
        if self.checkpoint.as_ref().is_none_or(named) {
            return Ok(());
        }
        Err(Alarm::KeyName)
    }
}

fn extend(
    tree: &TreeHead,
    edge: &Tiles,
    leaves: impl Iterator<Item = Hash>,
) -> Result<Growth, Alarm> {
    let mut frontier = Frontier::restore(tree, edge).map_err(|_| Alarm::Tiles)?;
    frontier.extend(leaves).map_err(|_| Alarm::Fault)
}

fn sign(signers: &Signers, origin: &str, tree: &TreeHead) -> Result<String, Alarm> {
    signers.sign(origin, tree).map_err(|_| Alarm::Fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(tree: u64, size: u64) -> Waiting {
        Waiting {
            tenant: TenantId::PLATFORM,
            size,
            tree: TreeHead {
                size: tree,
                ..TreeHead::EMPTY
            },
            since: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_huge_log_leaves_the_others_their_turn() {
        let logs = [
            log(0, 1_000_000),
            log(5, 6),
            log(10, 1_000_000),
            log(7, 107),
        ];
        assert_eq!(shares(&logs, 1_101), [500, 6, 510, 107]);
        assert_eq!(shares(&logs, u64::MAX), [1_000_000, 6, 1_000_000, 107]);
        assert_eq!(shares(&[log(9, 3)], 100), [9]);
        assert!(shares(&[], 100).is_empty());
    }

    #[test]
    fn leaves_that_are_missing_or_there_twice_are_noticed() {
        let leaves = |indexes: &[i64], bytes: usize| Leaves {
            indexes: indexes.to_vec(),
            hashes: vec![0; bytes],
            last_at: Timestamp::UNIX_EPOCH,
        };
        assert!(leaves(&[3, 4, 5], 96).are(3, 6));
        for (indexes, bytes) in [
            (&[3, 5][..], 64),
            (&[3, 3, 5], 96),
            (&[4, 5, 6], 96),
            (&[3, 4], 64),
            (&[3, 4, 5], 95),
            (&[3, 4, 5, 6], 128),
        ] {
            assert!(!leaves(indexes, bytes).are(3, 6), "{indexes:?}");
        }
    }

    #[test]
    fn nothing_is_signed_by_keys_of_another_name() {
        let signers = |name: &str| {
            let key = Signers::generate(name, [7; 32]).unwrap();
            Signers::parse(&key).unwrap()
        };
        let mut fleet = Fleet {
            tree: TreeHead::EMPTY,
            checkpoint: None,
        };
        assert_eq!(fleet.check_name(&signers("a.example")), Ok(()));
        let (_, note) = fleet
            .grow(&signers("a.example"), &Tiles::new(), &[])
            .unwrap();
        fleet.checkpoint = Some(note);
        assert_eq!(fleet.check_name(&signers("a.example")), Ok(()));
        assert_eq!(fleet.check_name(&signers("b.example")), Err(Alarm::KeyName));
    }
}

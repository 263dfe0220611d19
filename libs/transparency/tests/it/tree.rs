//! Trees: the same roots and proofs as the plain way to make them, however a tree grew.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tenantry_transparency::tree::{proof_from_text, proof_to_text};
use tenantry_transparency::{
    Frontier, TileId, Tiles, TreeError, TreeHead, check_consistency, check_inclusion,
};

use crate::grown::{Kept, Plain, leaf};

#[test]
fn every_small_size_has_the_plain_root_and_proofs() {
    let mut plain = Plain::default();
    let mut kept = Kept::default();
    let mut stream = Frontier::new();
    let mut head = TreeHead::EMPTY;
    let mut random = StdRng::seed_from_u64(1);
    let mut heads = vec![head];
    for size in 0..=1100 {
        assert_eq!(head, plain.head(size));
        assert_eq!(head, stream.head());
        for index in [
            0,
            size / 2,
            size.saturating_sub(1),
            random.random_range(0..=size),
        ] {
            if index < size {
                let proof = kept.prove_leaf(&head, index);
                let expected = tlog_tiles::prove_record(size, index, &plain).unwrap();
                assert_eq!(proof, expected);
                check_inclusion(&head, index, leaf(index), &proof).unwrap();
            }
            let earlier = &heads[usize::try_from(index).unwrap()];
            let proof = kept.prove_prefix(&head, index);
            if index > 0 {
                let expected = tlog_tiles::prove_tree(size, index, &plain).unwrap();
                assert_eq!(proof, expected);
            }
            check_consistency(earlier, &head, &proof).unwrap();
            let tiles = kept.some(&Tiles::of_consistency(index, size).unwrap());
            assert_eq!(tiles.root_at(index, &head).unwrap(), earlier.root);
        }
        plain.push();
        stream.push(leaf(size), |_, _| {}).unwrap();
        head = kept.grow(&head, size + 1);
        heads.push(head);
    }
}

#[test]
fn a_tree_that_grew_in_any_steps_is_the_same() {
    const MOST: u64 = 70_000;
    let plain = Plain::of(MOST);
    let mut random = StdRng::seed_from_u64(2);
    for _ in 0..4 {
        let mut kept = Kept::default();
        let mut head = TreeHead::EMPTY;
        let size = random.random_range(60_000..=MOST);
        while head.size < size {
            let step = 1 << random.random_range(0..14);
            let to = (head.size + random.random_range(1..=step)).min(size);
            head = kept.grow(&head, to);
            assert_eq!(head, plain.head(to));
        }
        for _ in 0..100 {
            let index = random.random_range(0..size);
            // Older trees are proven from the tiles as they have become.
            let then = plain.head(random.random_range(index + 1..=size));
            let proof = kept.prove_leaf(&then, index);
            check_inclusion(&then, index, leaf(index), &proof).unwrap();
            let earlier = plain.head(random.random_range(1..=then.size));
            let proof = kept.prove_prefix(&then, earlier.size);
            check_consistency(&earlier, &then, &proof).unwrap();
        }
    }
}

#[test]
fn many_proofs_at_once_are_the_ones_that_are_made_alone() {
    let plain = Plain::of(70_000);
    let mut kept = Kept::default();
    let head = kept.grow(&TreeHead::EMPTY, 70_000);
    for indexes in [
        (0..600).collect::<Vec<_>>(),
        (69_700..70_000).collect(),
        vec![3, 65_535, 65_536, 69_999],
        vec![],
    ] {
        let tiles = Tiles::of_inclusions(head.size, &indexes).unwrap();
        let proofs = kept.some(&tiles).prove_inclusions(&head, &indexes).unwrap();
        assert_eq!(proofs.len(), indexes.len());
        for (index, proof) in indexes.iter().zip(proofs) {
            let alone = tlog_tiles::prove_record(head.size, *index, &plain).unwrap();
            assert_eq!(proof, alone, "{index}");
        }
    }
    assert!(Tiles::of_inclusions(head.size, &[0, head.size]).is_err());
}

#[test]
fn a_proof_shows_nothing_else() {
    let plain = Plain::of(700);
    let head = plain.head(700);
    let proof = tlog_tiles::prove_record(700, 300, &plain).unwrap();
    let wrong = Err(TreeError::WrongProof);
    assert_eq!(check_inclusion(&head, 300, leaf(300), &proof), Ok(()));
    assert_eq!(check_inclusion(&head, 300, leaf(301), &proof), wrong);
    assert_eq!(check_inclusion(&head, 301, leaf(300), &proof), wrong);
    assert_eq!(
        check_inclusion(&plain.head(699), 300, leaf(300), &proof),
        wrong
    );
    assert_eq!(check_inclusion(&head, 300, leaf(300), &proof[1..]), wrong);
    let longer = [&proof[..], &[leaf(1)]].concat();
    assert_eq!(check_inclusion(&head, 300, leaf(300), &longer), wrong);
    let endless = vec![leaf(1); 1_000_000];
    assert_eq!(check_inclusion(&head, 300, leaf(300), &endless), wrong);
    let beyond = TreeError::NotInTree {
        asked: 700,
        size: 700,
    };
    assert_eq!(check_inclusion(&head, 700, leaf(300), &proof), Err(beyond));
    for at in 0..proof.len() {
        let mut changed = proof.clone();
        changed[at].0[31] ^= 1;
        assert_eq!(check_inclusion(&head, 300, leaf(300), &changed), wrong);
    }

    let earlier = plain.head(300);
    let proof = tlog_tiles::prove_tree(700, 300, &plain).unwrap();
    assert_eq!(check_consistency(&earlier, &head, &proof), Ok(()));
    let forked = TreeHead {
        root: leaf(1),
        ..earlier
    };
    assert_eq!(check_consistency(&forked, &head, &proof), wrong);
    assert_eq!(check_consistency(&plain.head(299), &head, &proof), wrong);
    assert_eq!(check_consistency(&earlier, &plain.head(699), &proof), wrong);
    assert_eq!(check_consistency(&earlier, &head, &[]), wrong);
    assert!(check_consistency(&head, &earlier, &proof).is_err());
    assert_eq!(check_consistency(&head, &head, &[]), Ok(()));
    assert_eq!(
        check_consistency(
            &TreeHead {
                root: leaf(1),
                ..head
            },
            &head,
            &[]
        ),
        wrong
    );
    assert_eq!(check_consistency(&TreeHead::EMPTY, &head, &[]), Ok(()));
    assert_eq!(
        check_consistency(
            &TreeHead {
                size: 0,
                root: leaf(1)
            },
            &head,
            &[]
        ),
        wrong
    );
    // Sizes that no tree has do no harm.
    let vast = TreeHead {
        size: u64::MAX,
        root: leaf(1),
    };
    assert_eq!(check_inclusion(&vast, u64::MAX - 1, leaf(1), &[]), wrong);
    assert_eq!(check_consistency(&head, &vast, &[leaf(1)]), wrong);
}

#[test]
fn nothing_is_built_on_tiles_that_are_missing_or_wrong() {
    let mut kept = Kept::default();
    let head = kept.grow(&TreeHead::EMPTY, 70_000);
    let edge = Frontier::tiles_of(head.size);
    assert_eq!(edge.len(), 3);
    for id in &edge {
        let others: Vec<TileId> = edge.iter().filter(|other| *other != id).copied().collect();
        let missing = Err(TreeError::MissingTile(*id));
        assert_eq!(
            Frontier::restore(&head, &kept.some(&others)).map(|_| ()),
            missing
        );
        let mut tiles = kept.some(&edge);
        let mut hashes = kept.0[id].clone();
        hashes.pop();
        tiles.insert(*id, hashes.clone());
        assert_eq!(Frontier::restore(&head, &tiles).map(|_| ()), missing);
        hashes.push(1 ^ kept.0[id].last().unwrap());
        tiles.insert(*id, hashes);
        let wrong = Err(TreeError::WrongTiles);
        assert_eq!(Frontier::restore(&head, &tiles).map(|_| ()), wrong);
    }
    assert!(Tiles::of_inclusion(5, 5).is_err() && Tiles::of_consistency(6, 5).is_err());
    assert_eq!(Tiles::of_inclusion(u64::MAX, 5), Err(TreeError::TooLarge));
}

#[test]
fn no_proof_is_made_of_tiles_that_are_missing_or_wrong() {
    let mut kept = Kept::default();
    let head = kept.grow(&TreeHead::EMPTY, 70_000);
    for index in [0, 300, 65_535, 65_536, 69_999] {
        let needed = Tiles::of_inclusion(head.size, index).unwrap();
        try_each_hash(&kept, &needed, |tiles| tiles.prove_inclusion(&head, index));
        let earlier = index.max(1);
        let needed = Tiles::of_consistency(earlier, head.size).unwrap();
        try_each_hash(&kept, &needed, |tiles| {
            tiles.prove_consistency(earlier, &head)
        });
        try_each_hash(&kept, &needed, |tiles| tiles.root_at(earlier, &head));
    }
}

/// Changes each hash of each tile in turn, and leaves out each tile.
fn try_each_hash<T: PartialEq + std::fmt::Debug>(
    kept: &Kept,
    needed: &[TileId],
    prove: impl Fn(&Tiles) -> Result<T, TreeError>,
) {
    let right = prove(&kept.some(needed));
    assert!(right.is_ok());
    for id in needed {
        let others: Vec<TileId> = needed.iter().filter(|o| *o != id).copied().collect();
        let mut tiles = kept.some(&others);
        assert_eq!(prove(&tiles), Err(TreeError::MissingTile(*id)));
        let mut noticed = 0;
        for place in (0..kept.0[id].len()).step_by(32) {
            let mut hashes = kept.0[id].clone();
            hashes[place] ^= 1;
            tiles.insert(*id, hashes);
            let proof = prove(&tiles);
            if proof != right {
                assert_eq!(proof, Err(TreeError::WrongTiles), "{id}");
                noticed += 1;
            }
        }
        assert!(noticed > 0, "{id} isn't needed");
    }
}

#[test]
fn proofs_are_read_as_they_are_written() {
    let proof = vec![leaf(1), leaf(2)];
    assert_eq!(proof_from_text(&proof_to_text(&proof)), Ok(proof));
    assert!(proof_from_text(&["AAAA"]).is_err() && proof_from_text(&["?"]).is_err());
}

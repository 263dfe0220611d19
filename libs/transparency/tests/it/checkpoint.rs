//! Checkpoints: signed by one key, believed by who has its public half.

use tenantry_core::{TenantId, random};
use tenantry_transparency::checkpoint::name_of_vkey;
use tenantry_transparency::{
    Checkpoint, CheckpointError, Hash, Signers, TreeHead, origin_of_fleet, origin_of_tenant,
};

const NAME: &str = "log.acme.example";

fn key(name: &str) -> String {
    Signers::generate(name, random::bytes()).unwrap()
}

fn head() -> TreeHead {
    TreeHead {
        size: 42,
        root: Hash(random::bytes()),
    }
}

#[test]
fn a_checkpoint_opens_with_the_public_key() {
    let signers = Signers::parse(&key(NAME)).unwrap();
    let tenant = TenantId::new();
    let origin = origin_of_tenant(signers.name(), tenant);
    assert_eq!(origin, format!("{NAME}/tenants/{tenant}"));
    assert_eq!(origin_of_fleet(NAME), format!("{NAME}/fleet"));
    let head = head();
    let note = signers.sign(&origin, &head).unwrap();
    let checkpoint = Checkpoint::open(&note, &signers.vkeys()).unwrap();
    assert_eq!(checkpoint.head(), head);
    assert_eq!(checkpoint.origin, origin);
    assert_eq!(name_of_vkey(&signers.vkeys()[0]).as_deref(), Some(NAME));
}

#[test]
fn the_first_key_signs_and_all_are_published() {
    let (old, new) = (key(NAME), key(NAME));
    let file = format!("# signs\n{old}\n\n  # next\r\n{new}\r\n");
    let both = Signers::parse(&file).unwrap();
    assert_eq!(both.vkeys().len(), 2);
    let note = both.sign("o", &head()).unwrap();
    let of = |key: &str| Signers::parse(key).unwrap().vkeys();
    assert!(Checkpoint::open(&note, &of(&old)).is_ok());
    assert!(Checkpoint::open(&note, &both.vkeys()).is_ok());
    // Given twice is given once.
    assert!(Checkpoint::open(&note, &[of(&old), both.vkeys()].concat()).is_ok());
    assert!(matches!(
        Checkpoint::open(&note, &of(&new)),
        Err(CheckpointError::NotSigned)
    ));
    assert!(matches!(
        Checkpoint::open(&note, &[""; 0]),
        Err(CheckpointError::NotSigned)
    ));
}

#[test]
fn no_byte_of_a_checkpoint_can_change() {
    let signers = Signers::parse(&key(NAME)).unwrap();
    let note = signers.sign(&origin_of_fleet(NAME), &head()).unwrap();
    let vkeys = signers.vkeys();
    for place in 0..note.len() {
        let mut bytes = note.clone().into_bytes();
        bytes[place] ^= 1;
        if let Ok(changed) = String::from_utf8(bytes) {
            assert!(Checkpoint::open(&changed, &vkeys).is_err(), "byte {place}");
        }
    }
    for end in 0..note.len() {
        if let Some(cut) = note.get(..end) {
            assert!(Checkpoint::open(cut, &vkeys).is_err());
        }
    }
}

#[test]
fn signatures_of_witnesses_say_nothing_here() {
    let signers = Signers::parse(&key(NAME)).unwrap();
    let witness = Signers::parse(&key("witness.example")).unwrap();
    let note = signers.sign("o", &head()).unwrap();
    let other = witness.sign(
        "o",
        &Checkpoint::open(&note, &signers.vkeys()).unwrap().head(),
    );
    let cosigned = format!("{note}{}", other.unwrap().rsplit_once("\n\n").unwrap().1);
    assert!(Checkpoint::open(&cosigned, &signers.vkeys()).is_ok());
    assert!(Checkpoint::open(&cosigned, &witness.vkeys()).is_ok());
}

#[test]
fn what_was_signed_but_is_no_checkpoint_is_refused() {
    let signers = Signers::parse(&key(NAME)).unwrap();
    for origin in ["", "two\nlines", "a\tb"] {
        assert!(signers.sign(origin, &head()).is_err(), "{origin:?}");
    }
    assert!(matches!(
        Checkpoint::open("no note", &signers.vkeys()),
        Err(CheckpointError::NotANote)
    ));
}

#[test]
fn a_file_of_keys_says_which_line_is_wrong_and_shows_none() {
    let good = key(NAME);
    assert!(matches!(
        Signers::parse("# none\n"),
        Err(CheckpointError::NoKey)
    ));
    let cut = &good[..good.len() - 4];
    let error = Signers::parse(&format!("{good}\n{cut}")).unwrap_err();
    assert!(matches!(error, CheckpointError::SignerKey(2)));
    assert!(!error.to_string().contains(cut));
    let other = format!("{good}\n{}", key("other.example"));
    assert!(matches!(
        Signers::parse(&other),
        Err(CheckpointError::OtherName(2))
    ));
    for name in ["", "a b", "a+b", "a\nb"] {
        assert!(Signers::generate(name, [1; 32]).is_err(), "{name:?}");
    }
    let error = Checkpoint::open("", std::slice::from_ref(&good)).unwrap_err();
    assert!(!error.to_string().contains(&good));
    let secret = good.rsplit('+').next().unwrap();
    assert!(!format!("{:?}", Signers::parse(&good).unwrap()).contains(secret));
}

#[test]
fn keys_and_notes_keep_their_form() {
    // The examples of C2SP signed-note, whose key is the same in Go's implementation.
    let file = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    let signers = Signers::parse(file).unwrap();
    assert_eq!(
        signers.vkeys(),
        ["PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"]
    );
    let note = signers
        .sign("example.com/behind-the-sofa", &TreeHead::EMPTY)
        .unwrap();
    assert!(note.starts_with(
        "example.com/behind-the-sofa\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n\u{2014} PeterNeumann "
    ));
}

//! Signed tree heads: C2SP checkpoints (tlog-checkpoint) in signed notes, which other people's tools verify too.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use signed_note::{Note, StandardSigner, StandardVerifier, Verifier, VerifierList};
use tenantry_core::TenantId;
use tlog_tiles::Hash;

use crate::tree::TreeHead;

/// How a signer's key begins in its file.
const PRIVATE: &str = "PRIVATE+KEY";
/// Ed25519, among the kinds of keys of signed notes.
const ED25519: u8 = 1;

/// The origin of a tenant's log, under the name of the keys that sign it.
#[must_use]
pub fn origin_of_tenant(name: &str, tenant: TenantId) -> String {
    format!("{name}/tenants/{tenant}")
}

/// The origin of the log of all tenants' checkpoints.
#[must_use]
pub fn origin_of_fleet(name: &str) -> String {
    format!("{name}/fleet")
}

/// What a checkpoint says.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Which log it is of.
    pub origin: String,
    /// How many leaves the log had.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
}

/// Why keys, or a note, aren't believed.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file names no key.
    #[error("no key: a line is {PRIVATE}+<name>+<id>+<key>")]
    NoKey,
    /// A line of the file is none. The number counts from 1; the line itself is a secret.
    #[error("line {0} is no signer's key: it is {PRIVATE}+<name>+<id>+<key>")]
    SignerKey(usize),
    /// Keys of one log have one name.
    #[error("line {0} names another log than the first key does")]
    OtherName(usize),
    /// A name has spaces or pluses, or is empty.
    #[error("{0:?} is no name of a log: it has neither spaces nor pluses")]
    Name(String),
    /// A key to verify with is none. It isn't shown: it may be the wrong half.
    #[error("a given key is no verifier's key: it is <name>+<id>+<key>")]
    VerifierKey,
    /// The note is no signed note.
    #[error("this is no signed note")]
    NotANote,
    /// None of the keys signed the note.
    #[error("none of the given keys signed this note")]
    NotSigned,
    /// What was signed is no checkpoint.
    #[error("the signed text is no checkpoint")]
    NotACheckpoint,
}

/// The keys of a log: the first one signs, and all are published, so that a next key is known before it signs.
pub struct Signers {
    name: String,
    first: StandardSigner,
    vkeys: Vec<String>,
}

impl Signers {
    /// Reads keys as their file has them: one to a line, empty lines and lines that begin with `#` aside.
    ///
    /// # Errors
    /// For a file without a key, a line that is none, and keys of different names.
    pub fn parse(file: &str) -> Result<Self, CheckpointError> {
        let mut signers: Option<Self> = None;
        for (number, line) in (1..).zip(file.lines().map(str::trim)) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, first, vkey) = signer(line).ok_or(CheckpointError::SignerKey(number))?;
            match &mut signers {
                None => {
                    signers = Some(Self {
                        name,
                        first,
                        vkeys: vec![vkey],
                    });
                }
                Some(signers) if signers.name != name => {
                    return Err(CheckpointError::OtherName(number));
                }
                Some(signers) => signers.vkeys.push(vkey),
            }
        }
        signers.ok_or(CheckpointError::NoKey)
    }

    /// A new key for logs of this name, as a line of the file, from 32 random bytes.
    ///
    /// # Errors
    /// For a name that is empty or has spaces or pluses.
    pub fn generate(name: &str, seed: [u8; 32]) -> Result<String, CheckpointError> {
        if !signed_note::is_key_name_valid(name) {
            return Err(CheckpointError::Name(name.to_owned()));
        }
        let public = SigningKey::from_bytes(&seed).verifying_key().to_bytes();
        let id = signed_note::key_id(name, &typed(&public));
        Ok(format!(
            "{PRIVATE}+{name}+{id:08x}+{}",
            STANDARD.encode(typed(&seed))
        ))
    }

    /// The name that the keys share.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public keys, in the order of the file.
    #[must_use]
    pub fn vkeys(&self) -> Vec<String> {
        self.vkeys.clone()
    }

    /// A checkpoint of the log `origin`, as a signed note.
    ///
    /// # Errors
    /// NotACheckpoint for an origin that is empty or has control characters.
    pub fn sign(&self, origin: &str, head: &TreeHead) -> Result<String, CheckpointError> {
        let text = text(origin, head)?;
        let mut note =
            Note::new(text.as_bytes(), &[]).map_err(|_| CheckpointError::NotACheckpoint)?;
        note.add_sigs(&[&self.first])
            .map_err(|_| CheckpointError::NotANote)?;
        String::from_utf8(note.to_bytes()).map_err(|_| CheckpointError::NotANote)
    }
}

impl fmt::Debug for Signers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signers({}, ..)", self.name)
    }
}

impl Checkpoint {
    /// Opens a note that at least one of these public keys signed. Signatures of other keys, as those of witnesses, say
    /// nothing here.
    ///
    /// # Errors
    /// For a text that is no signed note or no checkpoint, a note that none of the keys signed or that bears a wrong
    /// signature in the name of one of them, and a key that is none.
    pub fn open(note: &str, vkeys: &[impl AsRef<str>]) -> Result<Self, CheckpointError> {
        let mut verifiers: Vec<Box<dyn Verifier>> = Vec::new();
        let mut texts: Vec<&str> = vkeys.iter().map(|key| key.as_ref().trim()).collect();
        texts.sort_unstable();
        texts.dedup();
        for text in texts {
            let verifier = StandardVerifier::new(text).map_err(|_| CheckpointError::VerifierKey)?;
            verifiers.push(Box::new(verifier));
        }
        let note = Note::from_bytes(note.as_bytes()).map_err(|_| CheckpointError::NotANote)?;
        note.verify(&VerifierList::new(verifiers))
            .map_err(|_| CheckpointError::NotSigned)?;
        let lines = tlog_tiles::Checkpoint::from_bytes(note.text())
            .map_err(|_| CheckpointError::NotACheckpoint)?;
        Ok(Self {
            origin: lines.origin().to_owned(),
            size: lines.size(),
            root: *lines.hash(),
        })
    }

    /// The tree that it is of.
    #[must_use]
    pub const fn head(&self) -> TreeHead {
        TreeHead {
            size: self.size,
            root: self.root,
        }
    }
}

/// What is signed of a log's checkpoint: its origin, size and root, a line each. It is the leaf that the checkpoint of a
/// tenant's log is in the log of the fleet.
///
/// # Errors
/// NotACheckpoint for an origin that is empty or has control characters.
pub fn text(origin: &str, head: &TreeHead) -> Result<String, CheckpointError> {
    if origin.contains(char::is_control) {
        return Err(CheckpointError::NotACheckpoint);
    }
    let lines = tlog_tiles::Checkpoint::new(origin, head.size, head.root, "")
        .map_err(|_| CheckpointError::NotACheckpoint)?;
    String::from_utf8(lines.to_bytes()).map_err(|_| CheckpointError::NotACheckpoint)
}

/// The name in a public key; `None` where it is no key.
#[must_use]
pub fn name_of_vkey(vkey: &str) -> Option<String> {
    let verifier = StandardVerifier::new(vkey.trim()).ok()?;
    Some(verifier.name().to_owned())
}

/// A signer's line: its name, itself, and its public key.
fn signer(line: &str) -> Option<(String, StandardSigner, String)> {
    let signer = StandardSigner::new(line).ok()?;
    let rest = line.strip_prefix(PRIVATE)?.strip_prefix('+')?;
    let (name, rest) = rest.split_once('+')?;
    let (_, key) = rest.split_once('+')?;
    let seed = STANDARD.decode(key).ok()?;
    let seed: [u8; 32] = seed.strip_prefix(&[ED25519])?.try_into().ok()?;
    let public = SigningKey::from_bytes(&seed).verifying_key();
    let vkey = signed_note::new_ed25519_verifier_key(name, &public);
    Some((name.to_owned(), signer, vkey))
}

fn typed(key: &[u8; 32]) -> Vec<u8> {
    [&[ED25519], key.as_slice()].concat()
}

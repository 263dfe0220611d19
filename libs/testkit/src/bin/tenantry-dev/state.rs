//! What is known of the developer's fleet between two commands: a lock that its supervisor holds, and a file that
//! lists its processes.

use std::fs::{self, File, TryLockError};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tenantry_testkit::paths;

/// Where the supervisor stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// Not everything serves yet.
    Starting,
    /// Everything serves.
    Ready,
    /// It gave up; its log says why.
    Failed,
}

/// One process of the fleet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) pid: Option<u32>,
    pub(crate) address: String,
    pub(crate) log: PathBuf,
}

/// The fleet, as its supervisor last wrote it down.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) supervisor: u32,
    pub(crate) phase: Phase,
    pub(crate) gateway: String,
    pub(crate) parts: Vec<Part>,
}

impl State {
    /// The state that a supervisor wrote, if one did.
    pub(crate) fn read() -> Option<Self> {
        serde_json::from_slice(&fs::read(file()).ok()?).ok()
    }

    /// Replaces the file as a whole.
    pub(crate) fn write(&self) -> Result<()> {
        let fresh = file().with_extension("new");
        fs::write(&fresh, serde_json::to_vec_pretty(self)?)?;
        fs::rename(fresh, file())?;
        Ok(())
    }

    /// Forgets it.
    pub(crate) fn remove() {
        let _ = fs::remove_file(file());
    }
}

/// The supervisor's lock; it ends with the supervisor, however that ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Takes the lock; none when a supervisor holds it.
pub(crate) fn lock() -> Result<Option<Lock>> {
    let dir = paths::dev();
    fs::create_dir_all(&dir).with_context(|| format!("can't make the folder {}", dir.display()))?;
    let path = dir.join("lock");
    let file = File::options().create(true).append(true).open(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock { _file: file })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("can't lock {}", path.display()))
        }
    }
}

/// Where Postgres's data lies when the checkout isn't for Postgres's user to reach, as under root's home.
pub(crate) fn postgres_dir() -> PathBuf {
    if !nix::unistd::geteuid().is_root() {
        return paths::dev().join("postgres");
    }
    let checkout = paths::repository();
    let digest = Sha256::digest(checkout.as_os_str().as_encoded_bytes());
    let name: String = digest
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    PathBuf::from("/var/lib/tenantry-dev")
        .join(name)
        .join("postgres")
}

fn file() -> PathBuf {
    paths::dev().join("state.json")
}

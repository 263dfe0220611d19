//! Where things lie: the checkout, scratch folders that clean up after themselves, and folders that the user that
//! Postgres runs as can reach.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fs, io, process};

use anyhow::{Context, Result};

const SCRATCH_PREFIX: &str = "tenantry-run-";

/// Root of the checkout that this binary was built from.
#[must_use]
pub fn repository() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap_or(root)
}

/// `.dev/` of the checkout: state of the developer's fleet, never committed.
#[must_use]
pub fn dev() -> PathBuf {
    repository().join(".dev")
}

/// A new, empty folder, `name` and a number, that is gone after this process.
///
/// It lies under the system's temporary folder, where any user can reach it. Folders that killed processes left behind
/// are removed on the first call.
///
/// # Errors
/// When the folder can't be made.
pub fn scratch(name: &str) -> Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    static SWEPT: OnceLock<()> = OnceLock::new();
    SWEPT.get_or_init(sweep);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let dir = scratch_root(process::id()).join(format!("{name}-{count}"));
    fs::create_dir_all(&dir).with_context(|| format!("can't make the folder {}", dir.display()))?;
    Ok(dir)
}

/// Removes the scratch folders of this process, at its end.
pub fn remove_scratch() {
    let _ = fs::remove_dir_all(scratch_root(process::id()));
}

fn scratch_root(pid: u32) -> PathBuf {
    std::env::temp_dir().join(format!("{SCRATCH_PREFIX}{pid}"))
}

/// Removes scratch folders whose process is no more.
fn sweep() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(pid) = name
            .to_str()
            .and_then(|name| name.strip_prefix(SCRATCH_PREFIX))
        else {
            continue;
        };
        let alive = Path::new("/proc").join(pid).exists();
        if !alive || pid == process::id().to_string() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Writes a file that only this user can read.
///
/// # Errors
/// When the file can't be written.
pub fn write_secret(path: &Path, content: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let fresh = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(content)?;
    fs::rename(fresh, path)
}

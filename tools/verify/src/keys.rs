//! The public keys that were given, and whose signature a checkpoint has.

use std::path::Path;

use anyhow::bail;
use tenantry_core::TenantId;
use tenantry_transparency::checkpoint::name_of_vkey;
use tenantry_transparency::{Checkpoint, CheckpointError, origin_of_tenant};

use crate::files;

/// How the other half of a key begins.
const PRIVATE: &str = "PRIVATE+";

/// Public keys, each with the name of its log.
pub(crate) struct Keys(Vec<(String, String)>);

/// A checkpoint, and the key that signed it.
pub(crate) struct Signed {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) vkey: String,
    pub(crate) name: String,
}

impl Keys {
    /// Reads what was given: keys, or files of them.
    pub(crate) fn read(given: &[String]) -> anyhow::Result<Self> {
        let mut keys = Vec::new();
        for text in given {
            if let Some(name) = name_of_vkey(text) {
                keys.push((name, text.trim().to_owned()));
            } else if text.starts_with(PRIVATE) {
                bail!(
                    "--key has a private key; give the public one, and keep that one to yourself"
                );
            } else if !Path::new(text).exists() {
                bail!("--key {text}: neither a public key (<name>+<id>+<key>) nor a file");
            } else {
                keys.append(&mut of_file(text)?);
            }
        }
        Ok(Self(keys))
    }

    /// Opens a checkpoint that one of the keys signed, for a log of that key's name.
    pub(crate) fn open(&self, note: &str) -> Result<Signed, String> {
        let mut refused = CheckpointError::NotSigned;
        for (name, vkey) in &self.0 {
            match Checkpoint::open(note, &[vkey]) {
                Ok(checkpoint) if checkpoint.origin.starts_with(&format!("{name}/")) => {
                    return Ok(Signed {
                        checkpoint,
                        vkey: vkey.clone(),
                        name: name.clone(),
                    });
                }
                Ok(checkpoint) => {
                    return Err(format!(
                        "the key of {name} signed it, for the log {}, which isn't of that name",
                        checkpoint.origin
                    ));
                }
                Err(error) => refused = error,
            }
        }
        Err(refused.to_string())
    }

    /// Opens a checkpoint of this tenant's log.
    pub(crate) fn open_of(&self, note: &str, tenant: TenantId) -> Result<Signed, String> {
        let signed = self.open(note)?;
        let origin = origin_of_tenant(&signed.name, tenant);
        if signed.checkpoint.origin != origin {
            return Err(format!(
                "it is of the log {}, and not of {origin}",
                signed.checkpoint.origin
            ));
        }
        Ok(signed)
    }
}

fn of_file(file: &str) -> anyhow::Result<Vec<(String, String)>> {
    let text = files::read(file)?;
    let mut keys = Vec::new();
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some(name) = name_of_vkey(line) else {
            bail!("{file}, line {number}: no public key; one reads <name>+<id>+<key>");
        };
        keys.push((name, line.to_owned()));
    }
    if keys.is_empty() {
        bail!("{file} has no key");
    }
    Ok(keys)
}

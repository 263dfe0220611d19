//! Files and the standard input, read within bounds.

use std::fs::File;
use std::io::{Read, stdin};

use anyhow::{Context as _, bail};

/// What names the standard input.
const STDIN: &str = "-";
/// Largest checkpoint, file of keys, or proof.
const MAX_BYTES: u64 = 16 << 20;

/// Opens a file, or the standard input.
pub(crate) fn open(name: &str) -> anyhow::Result<Box<dyn Read>> {
    if name == STDIN {
        return Ok(Box::new(stdin()));
    }
    let file = File::open(name).with_context(|| name.to_owned())?;
    Ok(Box::new(file))
}

/// Reads a small file whole.
pub(crate) fn read(name: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    open(name)?
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text)
        .with_context(|| name.to_owned())?;
    if text.len() as u64 > MAX_BYTES {
        bail!("{name} has more than {MAX_BYTES} bytes");
    }
    Ok(text)
}

//! The ports of a fleet: free ones, remembered where the fleet outlives its process.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::Result;

use crate::port;

/// Ports by the name of what listens there.
#[derive(Debug)]
pub(crate) struct Ports {
    file: Option<PathBuf>,
    known: BTreeMap<String, u16>,
}

impl Ports {
    /// Reads the ports that were used before; an unreadable file counts as none.
    pub(crate) fn load(file: Option<PathBuf>) -> Self {
        let text = file.as_ref().and_then(|file| fs::read(file).ok());
        let known = text
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default();
        Self { file, known }
    }

    /// The port that `name` had before, if it is still free, else a new one.
    pub(crate) fn take(&mut self, name: &str) -> Result<u16> {
        let before = self
            .known
            .get(name)
            .copied()
            .filter(|before| port::is_free(*before));
        let port = match before {
            Some(before) => before,
            None => self.new_port()?,
        };
        self.known.insert(name.to_owned(), port);
        if let Some(file) = &self.file {
            fs::write(file, serde_json::to_vec_pretty(&self.known)?)?;
        }
        Ok(port)
    }

    fn new_port(&self) -> Result<u16> {
        loop {
            let port = port::free()?;
            if !self.known.values().any(|known| *known == port) {
                return Ok(port);
            }
        }
    }
}

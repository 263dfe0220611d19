//! The forms in which the log is exported, read one entry at a time.

mod csv;
mod json;

use std::io::{self, BufRead, BufReader, Read};

use serde::Deserialize;
use serde_json::Value;
use tenantry_core::TenantId;
use tenantry_transparency::{Disclosures, Hash};

use crate::shown::Shown;

/// Longest entry.
pub(crate) const MAX_ENTRY_BYTES: u64 = 16 << 20;
/// What some programs write before a text.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// One entry of an export.
pub(crate) enum Entry {
    Head(Box<Head>),
    Row(Box<Row>),
    End(End),
}

/// What the first entry says.
#[derive(Debug, Deserialize)]
pub(crate) struct Head {
    pub(crate) version: u32,
    pub(crate) format: String,
    pub(crate) tenant_id: TenantId,
    /// Where it begins.
    #[serde(deserialize_with = "decimal")]
    pub(crate) from_index: u64,
    #[serde(deserialize_with = "decimal")]
    pub(crate) tree_size: u64,
    /// A signed note.
    pub(crate) checkpoint: String,
    /// Whether it has all events from there to the end of the log.
    pub(crate) complete: bool,
    #[serde(default)]
    pub(crate) consistency: Option<Consistency>,
}

/// The proof that an earlier log is the beginning of this one.
#[derive(Debug, Deserialize)]
pub(crate) struct Consistency {
    /// The earlier size.
    #[serde(deserialize_with = "decimal")]
    pub(crate) from: u64,
    pub(crate) proof: Vec<String>,
}

/// One event.
pub(crate) struct Row {
    pub(crate) index: u64,
    pub(crate) leaf: String,
    pub(crate) disclosed: Disclosures,
    pub(crate) proof: Vec<Hash>,
    pub(crate) shown: Vec<Shown>,
    /// Names of what else the entry has.
    pub(crate) besides: Vec<String>,
}

/// What the last entry says.
#[derive(Debug, Deserialize)]
pub(crate) struct End {
    pub(crate) reason: String,
    #[serde(deserialize_with = "decimal")]
    pub(crate) events: u64,
}

/// An entry, or why it is none, and the line that it begins in.
pub(crate) struct Numbered {
    pub(crate) line: u64,
    pub(crate) entry: Result<Entry, String>,
}

/// An export that is being read.
pub(crate) enum Export {
    Lines(json::Lines),
    Table(Box<csv::Table>),
}

impl Export {
    /// Begins with an export, and finds out its form.
    pub(crate) fn begin(from: Box<dyn Read>) -> io::Result<Self> {
        let mut from = BufReader::new(from);
        if from.fill_buf()?.starts_with(BYTE_ORDER_MARK) {
            from.consume(BYTE_ORDER_MARK.len());
        }
        // All forms in JSON are lines of objects.
        if from.fill_buf()?.first().is_none_or(|byte| *byte == b'{') {
            return Ok(Self::Lines(json::Lines::new(from)));
        }
        Ok(Self::Table(Box::new(csv::Table::new(from))))
    }

    /// The next entry; `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Numbered>> {
        match self {
            Self::Lines(lines) => lines.next(),
            Self::Table(table) => table.next(),
        }
    }

    /// The name of the form, as the first entry has to say it.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Lines(lines) => lines.name(),
            Self::Table(_) => "csv",
        }
    }
}

/// Reads a count as its only decimal form.
pub(crate) fn count(text: &str) -> Option<u64> {
    let count: u64 = text.parse().ok()?;
    (count.to_string() == text).then_some(count)
}

/// A count, as 64-bit numbers are in proto3's JSON: a text.
pub(crate) fn decimal<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let text = String::deserialize(from)?;
    count(&text).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no count")))
}

fn typed<T: for<'de> Deserialize<'de>>(what: &str, value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| format!("{what}: {error}"))
}

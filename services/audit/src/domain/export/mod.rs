//! How events are taken out of the log: in the forms that `tenantry-verify` reads, each event with its leaf, with what opens
//! that, and with its proof. A first record says what the export is, a last one how it ended.

mod csv;
mod ndjson;
mod ocsf;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use tenantry_core::{Refusal, TenantId};
use tenantry_transparency::Hash;
use tenantry_transparency::leaf::{Disclosures, Leaf, LeafError};
use tenantry_transparency::tree::proof_to_text;

use super::query::Filter;

/// Version of the forms.
const VERSION: u32 = 1;
/// How an export ends that has all it was asked for.
pub(crate) const COMPLETE: &str = "COMPLETE";

/// A form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// A JSON object on each line.
    Ndjson,
    /// Records as RFC 4180 has them.
    Csv,
    /// An event of the Open Cybersecurity Schema Framework on each line.
    Ocsf,
}

/// What an export is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) format: Format,
    pub(crate) from_index: i64,
    /// Size of an earlier log, which is to be shown to be the beginning; 0 for none.
    pub(crate) consistent_with: u64,
    pub(crate) filter: Filter,
}

/// What the first record says.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Head {
    version: u32,
    format: &'static str,
    tenant_id: TenantId,
    /// Where it begins: what lies before was not asked for, or isn't kept so long.
    #[serde(serialize_with = "digits")]
    from_index: i64,
    /// Size of the log that each event is proved to be in.
    #[serde(serialize_with = "digits")]
    tree_size: u64,
    /// The signed note of that size.
    checkpoint: String,
    /// Whether it has every event from there to the end of that log.
    complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    consistency: Option<Consistency>,
}

/// The proof that the log of an earlier size is the beginning of this one.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Consistency {
    #[serde(serialize_with = "digits")]
    from: u64,
    proof: Vec<String>,
}

/// One event, as an export has it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    #[serde(serialize_with = "digits")]
    index: i64,
    /// The event with its personal values put back, as far as they aren't erased.
    event: Value,
    leaf: String,
    disclosed: Value,
    proof: Vec<String>,
}

/// What the last record says.
#[derive(Clone, Debug, Serialize)]
struct End {
    reason: String,
    #[serde(serialize_with = "digits")]
    events: u64,
}

/// Writes an export, which is taken from it in parts.
#[derive(Debug)]
pub(crate) struct Writer {
    format: Format,
    part: Vec<u8>,
    events: u64,
}

impl Format {
    /// Reads the name of a form; NDJSON where it is empty.
    pub(crate) fn parse(name: &str) -> Result<Self, Refusal> {
        match name {
            "" | "ndjson" => Ok(Self::Ndjson),
            "csv" => Ok(Self::Csv),
            "ocsf" => Ok(Self::Ocsf),
            _ => Err(Refusal::field("format", "must be ndjson, csv or ocsf")),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Ocsf => "ocsf",
        }
    }

    /// The content type (RFC 9110).
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Ndjson | Self::Ocsf => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
        }
    }
}

impl Head {
    /// The head of an export that begins at this index, and proves by a checkpoint of this size.
    pub(crate) fn new(
        wanted: &Wanted,
        (tenant, from_index): (TenantId, i64),
        (tree_size, checkpoint): (u64, String),
        consistency: &[Hash],
    ) -> Self {
        let from = wanted.consistent_with;
        Self {
            version: VERSION,
            format: wanted.format.name(),
            tenant_id: tenant,
            from_index,
            tree_size,
            checkpoint,
            complete: wanted.filter == Filter::default(),
            consistency: (from > 0).then(|| Consistency {
                from,
                proof: proof_to_text(consistency),
            }),
        }
    }
}

impl Line {
    /// The event at this index. What its row holds comes out as it is, also where it was damaged: whoever checks the export
    /// is to see it. The error says what can't be read.
    pub(crate) fn new(
        index: i64,
        leaf: String,
        disclosed: Option<String>,
        proof: &[Hash],
    ) -> (Self, Option<LeafError>) {
        let disclosed = disclosed.map_or_else(|| Value::Object(Map::new()), |text| parsed(&text));
        let (event, damage) = match open(&leaf, &disclosed) {
            Ok(event) => (event, None),
            Err(error) => (Value::Object(Map::new()), Some(error)),
        };
        let line = Self {
            index,
            event,
            leaf,
            disclosed,
            proof: proof_to_text(proof),
        };
        (line, damage)
    }
}

/// JSON, or the text where it is none.
fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

fn open(leaf: &str, disclosed: &Value) -> Result<Value, LeafError> {
    let disclosures: Disclosures = serde_json::from_value(disclosed.clone()).unwrap_or_default();
    Leaf::parse(leaf)?.open(&disclosures)
}

impl Writer {
    /// Begins an export.
    pub(crate) fn begin(format: Format, head: &Head, now: Timestamp) -> Self {
        let mut writer = Self {
            format,
            part: Vec::new(),
            events: 0,
        };
        let to = &mut writer.part;
        match format {
            Format::Ndjson => ndjson::said(to, "export", head),
            Format::Csv => csv::head(to, head),
            Format::Ocsf => ocsf::said(to, "export", head, now),
        }
        writer
    }

    /// Writes an event.
    pub(crate) fn line(&mut self, line: &Line) {
        self.events += 1;
        let to = &mut self.part;
        match self.format {
            Format::Ndjson => ndjson::line(to, line),
            Format::Csv => csv::line(to, line),
            Format::Ocsf => ocsf::line(to, line),
        }
    }

    /// Writes how the export ended: [`COMPLETE`], or why it broke off.
    pub(crate) fn end(&mut self, reason: &str, now: Timestamp) {
        let end = End {
            reason: reason.to_owned(),
            events: self.events,
        };
        let to = &mut self.part;
        match self.format {
            Format::Ndjson => ndjson::said(to, "end", &end),
            Format::Csv => csv::said(to, "end", &end),
            Format::Ocsf => ocsf::said(to, "end", &end, now),
        }
    }

    /// Bytes that were written and not taken.
    pub(crate) const fn size(&self) -> usize {
        self.part.len()
    }

    /// Takes what was written: whole records.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.part)
    }

    /// How many events were written.
    pub(crate) const fn events(&self) -> u64 {
        self.events
    }
}

/// A 64-bit number, as proto3's JSON has it.
fn digits<N: ToString, S: Serializer>(number: &N, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&number.to_string())
}

/// JSON of something that can't fail to be written: texts, numbers, and values that were read.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests;

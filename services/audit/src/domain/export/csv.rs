//! CSV (RFC 4180). Of each record `leaf`, `disclosed` and `proof` are what is proved, the other columns show it. The first
//! record names the columns; the second and the last one have a word in the place of the index, and JSON in that of the leaf.
//!
//! Spreadsheets take some cells for formulas. A cell that begins with what they begin with, or with an apostrophe, has an
//! apostrophe before it: take one away, and the cell is as it was logged.

use csv::{Terminator, WriterBuilder};
use serde::Serialize;
use serde_json::Value;
use tenantry_core::spreadsheet::guarded;

use super::{Head, Line, json};

/// Columns of the log itself: the first is the index, the others come last.
const INDEX: &str = "index";
const PROVED: [&str; 3] = ["leaf", "disclosed", "proof"];
/// Columns that show the event, and where it has what they show.
const SHOWN: &[(&str, &str)] = &[
    ("id", "/id"),
    ("timestamp", "/timestamp"),
    ("event_type", "/event_type"),
    ("outcome", "/outcome"),
    ("reason", "/reason"),
    ("actor_kind", "/actor/kind"),
    ("actor_id", "/actor/id"),
    ("actor_email", "/actor/email"),
    ("actor_name", "/actor/name"),
    ("actor_key_id", "/actor/key_id"),
    ("resource_type", "/resource/type"),
    ("resource_id", "/resource/id"),
    ("ip_address", "/ip_address"),
    ("user_agent", "/user_agent"),
    ("request_id", "/request_id"),
    ("trace_id", "/trace_id"),
    ("source", "/source"),
    ("changes", "/changes"),
];

/// Writes the names of the columns, and the head.
pub(super) fn head(to: &mut Vec<u8>, head: &Head) {
    let shown = SHOWN.iter().map(|(name, _)| *name);
    record(to, [INDEX].into_iter().chain(shown).chain(PROVED));
    said(to, "export", head);
}

/// Writes what is no event.
pub(super) fn said(to: &mut Vec<u8>, name: &str, said: &impl Serialize) {
    let empty = std::iter::repeat_n(String::new(), SHOWN.len());
    let said = [json(said), String::new(), String::new()];
    record(to, [name.to_owned()].into_iter().chain(empty).chain(said));
}

pub(super) fn line(to: &mut Vec<u8>, line: &Line) {
    let shown = SHOWN
        .iter()
        .map(|(_, pointer)| cell(line.event.pointer(pointer)));
    let proved = [
        guarded(line.leaf.clone()),
        cell(Some(&line.disclosed)),
        guarded(line.proof.join(" ")),
    ];
    let index = [line.index.to_string()].into_iter();
    record(to, index.chain(shown).chain(proved));
}

fn record(to: &mut Vec<u8>, cells: impl IntoIterator<Item = impl AsRef<[u8]>>) {
    let mut writer = WriterBuilder::new()
        .terminator(Terminator::CRLF)
        .from_writer(to);
    // Writing to memory can't fail; it is flushed when it is dropped.
    let _ = writer.write_record(cells);
}

/// A value as a cell: texts as they are, nothing as an empty one, all else as JSON.
fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::Object(members)) if members.is_empty() => String::new(),
        Some(Value::String(text)) => guarded(text.clone()),
        Some(other) => json(other),
    }
}

//! What an export shows of an event beside its leaf, held against the leaf.

use std::collections::BTreeSet;

use serde_json::Value;
use tenantry_transparency::canonical;
use tenantry_transparency::leaf::ERASED;

/// Columns of a CSV, and what of the event each of them is.
const COLUMNS: &[(&str, &str)] = &[
    ("id", "/id"),
    ("time", "/time"),
    ("action", "/action"),
    ("outcome", "/outcome"),
    ("actor_id", "/actor/id"),
    ("actor_email", "/actor/email"),
    ("resource_type", "/resource/type"),
    ("resource_id", "/resource/id"),
    ("ip_address", "/ip_address"),
    ("request_id", "/request_id"),
];

/// Members of an OCSF event, and what of the event each of them is. Its time is looked at by itself.
const OCSF: &[(&str, &str)] = &[
    ("/metadata/uid", "/id"),
    ("/api/operation", "/action"),
    ("/api/request/uid", "/request_id"),
    ("/actor/user/uid", "/actor/id"),
    ("/actor/user/email_addr", "/actor/email"),
    ("/src_endpoint/ip", "/ip_address"),
    ("/resources/0/type", "/resource/type"),
    ("/resources/0/uid", "/resource/id"),
];

/// What spreadsheets take for a formula. An export may put an apostrophe before it.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];
/// Most names that are kept of what isn't covered.
const MAX_NAMES: usize = 50;

/// What stands beside a leaf.
pub(crate) enum Shown {
    /// The event as JSON.
    Event(Value),
    /// Cells by the name of their column.
    Cells(Vec<(String, String)>),
    /// An OCSF event.
    Ocsf(Value),
}

/// Names of what is shown and stands in no leaf, so that nothing is proved of it.
#[derive(Default)]
pub(crate) struct Uncovered(BTreeSet<String>);

impl Uncovered {
    fn add(&mut self, name: &str) {
        if self.0.len() < MAX_NAMES && !self.0.contains(name) {
            self.0.insert(name.to_owned());
        }
    }

    /// Adds what stands beside the leaf and the event.
    pub(crate) fn add_all(&mut self, names: &[String]) {
        for name in names {
            self.add(name);
        }
    }

    /// The names.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).collect()
    }
}

impl Shown {
    /// The first thing that isn't what the opened leaf says.
    pub(crate) fn differs(&self, opened: &Value, uncovered: &mut Uncovered) -> Option<String> {
        match self {
            Self::Event(event) => event_differs(event, opened, uncovered),
            Self::Cells(cells) => cells_differ(cells, opened, uncovered),
            Self::Ocsf(event) => ocsf_differs(event, opened),
        }
    }
}

/// Every member that leaf and event share must say the same.
fn event_differs(event: &Value, opened: &Value, uncovered: &mut Uncovered) -> Option<String> {
    let Some(members) = event.as_object() else {
        return Some("event".to_owned());
    };
    for (name, value) in members {
        match opened.get(name) {
            Some(logged) if !says_same(value, logged) => return Some(name.clone()),
            None if name == ERASED && !is_blank(value) => return Some(name.clone()),
            None if name != ERASED => uncovered.add(name),
            _ => {}
        }
    }
    None
}

fn cells_differ(
    cells: &[(String, String)],
    opened: &Value,
    uncovered: &mut Uncovered,
) -> Option<String> {
    for (column, cell) in cells {
        let Some((_, pointer)) = COLUMNS.iter().find(|(name, _)| name == column) else {
            uncovered.add(column);
            continue;
        };
        let logged = text_at(opened, pointer);
        if *cell != logged && unguarded(cell) != logged {
            return Some(column.clone());
        }
    }
    None
}

/// Which members of an OCSF event are compared.
pub(crate) fn ocsf_members() -> Vec<&'static str> {
    let members = OCSF.iter().map(|(member, _)| *member);
    members.chain(["/time"]).collect()
}

/// Members that are there must say the same; which ones OCSF has besides is its own affair.
fn ocsf_differs(event: &Value, opened: &Value) -> Option<String> {
    for (member, pointer) in OCSF {
        let shown = text_at(event, member);
        if !shown.is_empty() && shown != text_at(opened, pointer) {
            return Some((*member).to_owned());
        }
    }
    let time: Option<jiff::Timestamp> = text_at(opened, "/time").parse().ok();
    match (event.get("time"), time) {
        (Some(shown), Some(time)) if shown.as_i64() != Some(time.as_millisecond()) => {
            Some("/time".to_owned())
        }
        _ => None,
    }
}

/// Whether two values say the same: what is absent, null or empty says nothing, and a number may stand as its digits, as
/// proto3's JSON writes 64 bits.
fn says_same(shown: &Value, logged: &Value) -> bool {
    match (shown, logged) {
        (Value::Object(shown), Value::Object(logged)) => {
            let names: BTreeSet<&String> = shown.keys().chain(logged.keys()).collect();
            let of = |members: &serde_json::Map<String, Value>, name: &String| {
                members.get(name).cloned().unwrap_or_default()
            };
            names
                .into_iter()
                .all(|name| says_same(&of(shown, name), &of(logged, name)))
        }
        (Value::Array(shown), Value::Array(logged)) => {
            shown.len() == logged.len()
                && shown
                    .iter()
                    .zip(logged)
                    .all(|(one, other)| says_same(one, other))
        }
        (Value::Number(_), Value::Number(_)) => {
            canonical::is_exact(shown) && text(shown) == text(logged)
        }
        (Value::String(digits), number @ Value::Number(_))
        | (number @ Value::Number(_), Value::String(digits)) => text(number) == *digits,
        (shown, logged) => shown == logged || (is_blank(shown) && is_blank(logged)),
    }
}

fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        Value::Object(members) => members.values().all(is_blank),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// What stands at a pointer, as a text; nothing and null are the empty one.
fn text_at(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).map(text).unwrap_or_default()
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => canonical::text(other).unwrap_or_default(),
    }
}

/// A cell without the apostrophe that keeps spreadsheets from taking it for a formula.
pub(crate) fn unguarded(cell: &str) -> &str {
    cell.strip_prefix('\'')
        .filter(|rest| rest.starts_with(FORMULA))
        .unwrap_or(cell)
}

//! What an export shows of an event beside its leaf, held against the leaf.

use std::collections::BTreeSet;

use serde_json::Value;
use tenantry_transparency::canonical;
use tenantry_transparency::leaf::ERASED;

use crate::strict;

/// Names of what is shown, as members or columns, and where the leaf has it. What isn't named here is looked for under its own
/// name.
const NAMES: &[(&str, &str)] = &[
    ("action", "/event_type"),
    ("actor_email", "/actor/email"),
    ("actor_id", "/actor/id"),
    ("actor_key_id", "/actor/key_id"),
    ("actor_kind", "/actor/kind"),
    ("actor_name", "/actor/name"),
    ("actor_user_id", "/actor/user_id"),
    ("resource_id", "/resource/id"),
    ("resource_type", "/resource/type"),
    ("time", "/timestamp"),
];

/// Members that leaves have unless they are empty: shown where the leaf has none, they aren't so.
const MEMBERS: &[&str] = &[
    "actor",
    "changes",
    "epoch",
    ERASED,
    "event_type",
    "id",
    "index",
    "ip_address",
    "n",
    "outcome",
    "reason",
    "request_id",
    "resource",
    "source",
    "tenant_id",
    "timestamp",
    "trace_id",
    "user_agent",
    "v",
];

/// Members of an OCSF event, and what of the event each of them is. Its time is looked at by itself.
const OCSF: &[(&str, &str)] = &[
    ("/metadata/uid", "/id"),
    ("/metadata/event_code", "/event_type"),
    ("/metadata/tenant_uid", "/tenant_id"),
    ("/metadata/log_provider", "/source"),
    ("/metadata/original_time", "/timestamp"),
    ("/metadata/correlation_uid", "/trace_id"),
    ("/status_code", "/reason"),
    ("/status_detail", "/outcome"),
    ("/actor/user/uid", "/actor/id"),
    ("/actor/user/email_addr", "/actor/email"),
    (
        "/actor/user/programmatic_credentials/0/uid",
        "/actor/key_id",
    ),
    ("/actor/app_name", "/actor/name"),
    ("/api/operation", "/event_type"),
    ("/api/request/uid", "/request_id"),
    ("/api/service/name", "/source"),
    ("/entity/type", "/resource/type"),
    ("/entity/uid", "/resource/id"),
    ("/http_request/uid", "/request_id"),
    ("/http_request/user_agent", "/user_agent"),
    ("/src_endpoint/ip", "/ip_address"),
    ("/resources/0/type", "/resource/type"),
    ("/resources/0/uid", "/resource/id"),
    ("/unmapped/changes", "/changes"),
];
/// How OCSF numbers an outcome: Success, and Failure for all others.
const SUCCESS: (&str, i64) = ("success", 1);
const FAILURE: i64 = 2;

/// What a cell of a CSV doesn't begin with: what spreadsheets take for a formula, some of it in full width too, and the
/// apostrophe that an export puts before these.
const GUARDED: [char; 12] = [
    '=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}', GUARD,
];
const GUARD: char = '\'';
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
    /// Adds a name.
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

fn event_differs(event: &Value, opened: &Value, uncovered: &mut Uncovered) -> Option<String> {
    let Some(members) = event.as_object() else {
        return Some("event".to_owned());
    };
    for (name, value) in members {
        match logged(name, opened) {
            Some(logged) if !says_same(value, logged) => return Some(name.clone()),
            None if !is_blank(value) => uncovered.add(name),
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
        match logged(column, opened) {
            Some(logged) if !cell_says(cell, logged) => return Some(column.clone()),
            None if !cell.is_empty() => uncovered.add(column),
            _ => {}
        }
    }
    None
}

/// What the leaf has under a name that is shown; `None` where leaves have no such thing.
fn logged<'a>(name: &str, opened: &'a Value) -> Option<&'a Value> {
    if let Some((_, pointer)) = NAMES.iter().find(|(shown, _)| *shown == name) {
        return Some(opened.pointer(pointer).unwrap_or(&Value::Null));
    }
    let absent = MEMBERS.contains(&name).then_some(&Value::Null);
    opened.get(name).or(absent)
}

/// Whether a cell says what was logged. Objects and lists stand in cells as JSON.
fn cell_says(cell: &str, logged: &Value) -> bool {
    let plain = unguarded(cell);
    if plain.is_empty() {
        return is_blank(logged);
    }
    if matches!(logged, Value::Object(_) | Value::Array(_) | Value::Null) {
        return strict::parse(plain).is_ok_and(|shown| says_same(&shown, logged));
    }
    let logged = text(logged);
    cell == logged || plain == logged || is_same_instant(cell, &logged)
}

/// Whether two texts name one instant: its digits behind the second may end with more zeros.
fn is_same_instant(one: &str, other: &str) -> bool {
    let instant = |text: &str| text.parse::<jiff::Timestamp>().ok();
    instant(one).is_some_and(|one| instant(other) == Some(one))
}

/// Which members of an OCSF event are compared.
pub(crate) fn ocsf_members() -> Vec<&'static str> {
    let members = OCSF.iter().map(|(member, _)| *member);
    members.chain(["/time", "/status_id"]).collect()
}

/// Members that are there must say the same; which ones OCSF has besides is its own affair.
fn ocsf_differs(event: &Value, opened: &Value) -> Option<String> {
    for (member, pointer) in OCSF {
        let shown = text_at(event, member);
        if !shown.is_empty() && shown != text_at(opened, pointer) {
            return Some((*member).to_owned());
        }
    }
    let time = text_at(opened, "/timestamp").parse::<jiff::Timestamp>();
    let outcome = text_at(opened, "/outcome");
    let status = if outcome == SUCCESS.0 {
        SUCCESS.1
    } else {
        FAILURE
    };
    let numbers = [
        ("time", time.ok().map(jiff::Timestamp::as_millisecond)),
        ("status_id", (!outcome.is_empty()).then_some(status)),
    ];
    numbers.into_iter().find_map(|(member, logged)| {
        let differs = event.get(member)?.as_i64() != Some(logged?);
        differs.then(|| format!("/{member}"))
    })
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
        (Value::String(shown), Value::String(logged)) => {
            shown == logged || is_same_instant(shown, logged)
        }
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
    cell.strip_prefix(GUARD)
        .filter(|rest| rest.starts_with(GUARDED))
        .unwrap_or(cell)
}

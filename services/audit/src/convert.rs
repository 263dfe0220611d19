//! Between the contract's messages and the domain.

pub(crate) mod logs;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tenantry_core::Refusal;
use tenantry_core::refusal::Violations;
use tenantry_core::{clock, contact};
use tenantry_proto::audit::v1 as wire;
use tenantry_rpc::convert::{instant, json, proto_struct, timestamp};

use crate::app::{Item, NewEvent, Reading};
use crate::domain::entry::outcome;
use crate::domain::export::{Format, Wanted};
use crate::domain::query::Asked;
use crate::domain::stream::Stream;

/// Longest event type or resource type of the product's own events, in characters.
const MAX_WORD: usize = 100;
/// Longest id of the product's own, in characters.
const MAX_ID: usize = 200;
/// Longest e-mail address, address and user agent, in characters.
const MAX_TEXT: usize = 256;
/// Largest `changes` of one event, in bytes of JSON.
const MAX_CHANGES_BYTES: usize = 16 * 1024;
/// Most fields of one event that are told to be personal.
const MAX_PERSONAL: usize = 64;
/// Most violations that are told at once.
const MAX_VIOLATIONS: usize = 50;
/// Most events of one request.
const MAX_EVENTS: usize = 1_000;
/// Longest name of a source.
const MAX_SOURCE: usize = 63;
/// How far a product's clock may be ahead of ours, in seconds.
const LEEWAY_SECONDS: i64 = 60;

pub(crate) fn event(reading: Reading) -> wire::AuditEvent {
    let event = reading.event;
    let text = |pointer: &str| {
        let value = event.pointer(pointer).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let at = text("/timestamp").parse::<Timestamp>().ok();
    let erased = event.get("erased").and_then(Value::as_array);
    wire::AuditEvent {
        id: text("/id"),
        tenant_id: reading.tenant.to_string(),
        index: reading.index,
        timestamp: at.map(timestamp),
        event_type: text("/event_type"),
        outcome: text("/outcome"),
        reason: text("/reason"),
        actor: Some(wire::AuditActor {
            kind: text("/actor/kind"),
            id: text("/actor/id"),
            user_id: text("/actor/user_id"),
            email: text("/actor/email"),
            key_id: text("/actor/key_id"),
            name: text("/actor/name"),
        }),
        resource_type: text("/resource/type"),
        resource_id: text("/resource/id"),
        changes: Some(proto_struct(event.get("changes").unwrap_or(&Value::Null))),
        ip_address: text("/ip_address"),
        user_agent: text("/user_agent"),
        request_id: text("/request_id"),
        trace_id: text("/trace_id"),
        source: text("/source"),
        erased: erased
            .into_iter()
            .flatten()
            .filter_map(|pointer| pointer.as_str().map(str::to_owned))
            .collect(),
    }
}

pub(crate) fn item(item: Item) -> wire::TailEventsResponse {
    use wire::tail_events_response::Item as Wire;
    let item = match item {
        Item::Event(reading) => Wire::Event(event(reading)),
        Item::Bookmark(next_index) => Wire::Bookmark(wire::AuditBookmark { next_index }),
        Item::End(refusal) => Wire::End(wire::AuditStreamEnd {
            reason: refusal.reason.word().to_owned(),
            message: refusal.message,
        }),
    };
    wire::TailEventsResponse { item: Some(item) }
}

/// What both lists are asked for: their requests have these fields under the same names.
macro_rules! asked {
    ($message:expr) => {
        Asked {
            actor: std::mem::take(&mut $message.actor),
            event_type: std::mem::take(&mut $message.event_type),
            resource_type: std::mem::take(&mut $message.resource_type),
            resource_id: std::mem::take(&mut $message.resource_id),
            outcome: std::mem::take(&mut $message.outcome),
            ip_address: std::mem::take(&mut $message.ip_address),
            request_id: std::mem::take(&mut $message.request_id),
            q: std::mem::take(&mut $message.q),
            start: optional("start_time", $message.start_time.as_ref())?,
            end: optional("end_time", $message.end_time.as_ref())?,
        }
    };
}

pub(crate) fn asked_of_log(message: &mut wire::ListEventsRequest) -> Result<Asked, Refusal> {
    Ok(asked!(message))
}

pub(crate) fn asked_of_all(message: &mut wire::SearchEventsRequest) -> Result<Asked, Refusal> {
    Ok(asked!(message))
}

/// What an export is asked for.
pub(crate) fn export(message: &mut wire::ExportEventsRequest) -> Result<Wanted, Refusal> {
    if message.from_index < 0 {
        return Err(Refusal::field("from_index", "must not be negative"));
    }
    Ok(Wanted {
        format: Format::parse(&message.format)?,
        from_index: message.from_index,
        consistent_with: logs::place("consistent_with", message.consistent_with)?,
        filter: asked!(message).filter()?,
    })
}

fn optional(
    field: &str,
    at: Option<&prost_types::Timestamp>,
) -> Result<Option<Timestamp>, Refusal> {
    at.map(|at| instant(field, at)).transpose()
}

pub(crate) fn source(stream: Stream) -> wire::AuditSource {
    wire::AuditSource {
        source: stream.source,
        tenant_id: stream.tenant.to_string(),
        epoch: stream.epoch,
        expected_n: stream.expected_n,
        stopped_n: stream.stopped_n,
        stopped_at: stream.stopped_at.map(timestamp),
    }
}

/// The name under which the log has a source of the product's own.
pub(crate) fn source_name(name: &str) -> Result<String, Refusal> {
    let valid = !name.is_empty()
        && name.len() <= MAX_SOURCE
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !valid {
        return Err(Refusal::field(
            "source",
            "must be 1 to 63 lower-case letters, digits and dashes: the name of the service that records, as checkout",
        ));
    }
    Ok(format!("app:{name}"))
}

pub(crate) fn new_events(events: Vec<wire::NewEvent>) -> Result<Vec<NewEvent>, Refusal> {
    if events.is_empty() || events.len() > MAX_EVENTS {
        return Err(Refusal::field(
            "events",
            format!("must be 1 to {MAX_EVENTS} events"),
        ));
    }
    let now = clock::now();
    let mut wrong = Violations::new();
    let (mut new, mut told) = (Vec::with_capacity(events.len()), 0);
    for (place, event) in events.into_iter().enumerate() {
        match new_event(event, now) {
            Ok(event) => new.push(event),
            Err(refused) => {
                for violation in refused.violations {
                    told += 1;
                    if told > MAX_VIOLATIONS {
                        break;
                    }
                    let field = format!("events[{place}].{}", violation.field);
                    wrong.add(field, violation.description);
                }
            }
        }
    }
    wrong.check()?;
    Ok(new)
}

fn new_event(event: wire::NewEvent, now: Timestamp) -> Result<NewEvent, Refusal> {
    let mut wrong = Violations::new();
    if !is_event_type(&event.event_type) {
        wrong.add(
            "event_type",
            format!("must be lower-case words joined by dots and underscores, as invoice.paid, at most {MAX_WORD} characters"),
        );
    }
    let at = optional("timestamp", event.timestamp.as_ref());
    let at = wrong.take(
        "timestamp",
        at.map_err(|_| "is no instant; write it as 2026-01-31T12:00:00Z"),
    );
    let at = at.flatten().unwrap_or(now);
    if at.as_second() > now.as_second() + LEEWAY_SECONDS {
        wrong.add("timestamp", "must not be in the future");
    }
    let outcome = outcome(&event.outcome);
    if outcome.is_none() {
        wrong.add("outcome", "must be success, denied or failed");
    }
    let actor = event.actor.unwrap_or_default();
    for (field, text, most) in [
        ("resource_type", &event.resource_type, MAX_WORD),
        ("resource_id", &event.resource_id, MAX_ID),
        ("actor.id", &actor.id, MAX_ID),
        ("actor.email", &actor.email, MAX_TEXT),
        ("ip_address", &event.ip_address, MAX_TEXT),
        ("user_agent", &event.user_agent, MAX_TEXT),
    ] {
        if text.chars().count() > most || text.contains('\0') {
            wrong.add(
                field,
                format!("must be at most {most} characters, without NUL"),
            );
        }
    }
    if !actor.email.is_empty() {
        wrong.take("actor.email", contact::email(&actor.email));
    }
    let changes = json("changes", event.changes.unwrap_or_default());
    let changes = wrong.take("changes", changes.map_err(|refused| refused.message));
    let changes = match changes {
        Some(Value::Object(changes)) => changes,
        Some(_) | None => Map::new(),
    };
    if serde_json::to_string(&changes).map_or(0, |text| text.len()) > MAX_CHANGES_BYTES {
        wrong.add(
            "changes",
            format!("must be at most {MAX_CHANGES_BYTES} bytes of JSON"),
        );
    }
    if event.personal_fields.len() > MAX_PERSONAL {
        wrong.add("personal_fields", format!("must be at most {MAX_PERSONAL}"));
    }
    for field in event.personal_fields.iter().take(MAX_PERSONAL) {
        if !changes.contains_key(field) {
            wrong.add(
                "personal_fields",
                format!("{field:?} is no field of changes"),
            );
        }
    }
    wrong.check()?;
    Ok(NewEvent {
        event_type: event.event_type,
        at,
        resource_type: event.resource_type,
        resource_id: event.resource_id,
        actor: (actor.id, actor.email),
        changes,
        outcome: outcome.unwrap_or_default(),
        ip_address: event.ip_address,
        user_agent: event.user_agent,
        personal_fields: event.personal_fields,
    })
}

fn is_event_type(text: &str) -> bool {
    let word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    text.len() <= MAX_WORD && text.split('.').all(word)
}

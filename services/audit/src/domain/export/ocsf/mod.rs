//! OCSF (Open Cybersecurity Schema Framework, <https://schema.ocsf.io>), an event to a line. Changes of an entity that happened are
//! Entity Management; what was read, denied or is no change of an entity is API Activity. What is proved stands in
//! `unmapped.tenantry`, where other readers leave it alone.

mod activity;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::super::entry::insert;
use super::{Line, ndjson};
use activity::Activity;

/// The version of the schema that events keep.
const SCHEMA: &str = "1.6.0";
/// Severities: Informational, and Low for what was refused.
const INFORMATIONAL: (u8, &str) = (1, "Informational");
const LOW: (u8, &str) = (2, "Low");
/// States: Success and Failure.
const SUCCESS: (u8, &str) = (1, "Success");
const FAILURE: (u8, &str) = (2, "Failure");
/// Types of users: User, and Other, which says itself what it is.
const USER: (u8, &str) = (1, "User");
const OTHER: u8 = 99;
/// What stands for an address that isn't known, or isn't any more.
const UNKNOWN: &str = "unknown";

/// Writes what is no event of the log, as one of the class that all others are made from.
pub(super) fn said(to: &mut Vec<u8>, name: &str, said: &impl Serialize, now: Timestamp) {
    let mut event = Map::new();
    classify(&mut event, &activity::of_export(name));
    let (severity_id, severity) = INFORMATIONAL;
    event.extend(members(json!({
        "time": now.as_millisecond(),
        "severity_id": severity_id,
        "severity": severity,
        "metadata": {"version": SCHEMA, "product": product()},
        "unmapped": {"tenantry": {name: said}},
    })));
    ndjson::write(to, &event);
}

pub(super) fn line(to: &mut Vec<u8>, line: &Line) {
    let event = &line.event;
    let text = |pointer: &str| {
        let value = event.pointer(pointer).and_then(Value::as_str);
        value.unwrap_or_default()
    };
    let succeeded = matches!(text("/outcome"), "success" | "");
    let activity = activity::of_event(text("/event_type"), succeeded, event);
    let (status_id, status) = if succeeded { SUCCESS } else { FAILURE };
    let (severity_id, severity) = if succeeded { INFORMATIONAL } else { LOW };
    let at: Timestamp = text("/timestamp").parse().unwrap_or_default();
    let mut shown = Map::new();
    classify(&mut shown, &activity);
    shown.extend(members(json!({
        "time": at.as_millisecond(),
        "severity_id": severity_id,
        "severity": severity,
        "status_id": status_id,
        "status": status,
        "actor": actor(event),
    })));
    insert(&mut shown, "status_code", json!(text("/reason")));
    insert(&mut shown, "status_detail", json!(text("/outcome")));
    insert(&mut shown, "metadata", metadata(event));
    let ip = text("/ip_address");
    if !ip.is_empty() {
        insert(&mut shown, "src_endpoint", json!({"ip": ip}));
    } else if !activity.is_of_entity() {
        // Calls have one by the schema.
        insert(&mut shown, "src_endpoint", json!({"name": UNKNOWN}));
    }
    let mut request = Map::new();
    insert(&mut request, "uid", json!(text("/request_id")));
    insert(&mut request, "user_agent", json!(text("/user_agent")));
    insert(&mut shown, "http_request", Value::Object(request));
    let resource = resource(event);
    if activity.is_of_entity() {
        insert(&mut shown, "entity", entity(resource));
    } else {
        insert(&mut shown, "api", api(event));
        // One without an id is none by the schema; its type is in the operation's name.
        if resource.contains_key("uid") {
            insert(&mut shown, "resources", json!([resource]));
        }
    }
    let proved = json!({
        "index": line.index.to_string(),
        "leaf": line.leaf,
        "disclosed": line.disclosed,
        "proof": line.proof,
    });
    let mut unmapped = Map::new();
    insert(&mut unmapped, "tenantry", proved);
    let changes = event.get("changes").cloned().unwrap_or_default();
    insert(&mut unmapped, "changes", changes);
    insert(&mut shown, "unmapped", Value::Object(unmapped));
    ndjson::write(to, &shown);
}

fn classify(event: &mut Map<String, Value>, activity: &Activity) {
    event.extend(members(json!({
        "category_uid": activity.category_uid(),
        "category_name": activity.category_name(),
        "class_uid": activity.class_uid(),
        "class_name": activity.class_name(),
        "activity_id": activity.id(),
        "activity_name": activity.name(),
        "type_uid": activity.type_uid(),
        "type_name": format!("{}: {}", activity.class_name(), activity.name()),
    })));
}

fn product() -> Value {
    json!({"name": "Tenantry", "vendor_name": "Tenantry", "feature": {"name": "audit"}})
}

fn metadata(event: &Value) -> Value {
    let mut metadata = members(json!({"version": SCHEMA, "product": product()}));
    for (name, member) in [
        ("uid", "id"),
        ("event_code", "event_type"),
        ("tenant_uid", "tenant_id"),
        ("log_provider", "source"),
        ("original_time", "timestamp"),
        ("correlation_uid", "trace_id"),
    ] {
        let value = event.get(member).cloned().unwrap_or_default();
        insert(&mut metadata, name, value);
    }
    Value::Object(metadata)
}

/// Whoever did it: a person, a program by its key, a service of ours, or nobody who is known.
fn actor(event: &Value) -> Value {
    let text = |name: &str| {
        let value = event.get("actor").and_then(|actor| actor.get(name));
        value.and_then(Value::as_str).unwrap_or_default()
    };
    let kind = text("kind");
    if kind == "service" && !text("name").is_empty() {
        return json!({ "app_name": text("name") });
    }
    let (type_id, type_name) = if kind == "user" { USER } else { (OTHER, kind) };
    let mut user = members(json!({ "type_id": type_id }));
    insert(&mut user, "type", json!(type_name));
    insert(&mut user, "uid", json!(text("id")));
    insert(&mut user, "email_addr", json!(text("email")));
    if text("id").is_empty() {
        let name = if kind.is_empty() { UNKNOWN } else { kind };
        insert(&mut user, "name", json!(name));
    }
    let key = text("key_id");
    if !key.is_empty() {
        user.insert("programmatic_credentials".to_owned(), json!([{"uid": key}]));
    }
    json!({ "user": user })
}

fn api(event: &Value) -> Value {
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
    let operation = match text("event_type") {
        "" => UNKNOWN,
        known => known,
    };
    let mut api = members(json!({ "operation": operation }));
    if !text("request_id").is_empty() {
        insert(&mut api, "request", json!({"uid": text("request_id")}));
    }
    if !text("source").is_empty() {
        insert(&mut api, "service", json!({"name": text("source")}));
    }
    Value::Object(api)
}

/// What it happened to: its type and its id.
fn resource(event: &Value) -> Map<String, Value> {
    let mut resource = Map::new();
    for (name, pointer) in [("uid", "/resource/id"), ("type", "/resource/type")] {
        let value = event.pointer(pointer).cloned().unwrap_or_default();
        insert(&mut resource, name, value);
    }
    resource
}

fn entity(mut resource: Map<String, Value>) -> Value {
    resource.insert("type_id".to_owned(), json!(OTHER));
    Value::Object(resource)
}

/// The members of an object.
fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

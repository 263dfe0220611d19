//! Schemas: the proto3 JSON form of each message.

use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::operations::Bodies;
use crate::comments::Comments;
use crate::{gateway_methods, reachable};

/// What an operation answers with that has nothing to say.
pub(super) const EMPTY: &str = "google.protobuf.Empty";
/// What an operation answers with that is no JSON: bytes of a content type that they name.
pub(super) const RAW: &str = "google.api.HttpBody";
/// A whole number in decimal digits.
const DIGITS: &str = "^-?[0-9]{1,19}$";
/// Seconds with up to nine decimals, and their unit.
const DURATION: &str = "^-?[0-9]{1,12}(\\.[0-9]{1,9})?s$";
/// Fields that count things to give or to skip, in every request.
const COUNTS: &[&str] = &["page_size", "limit", "offset"];

/// The schema of every message that an operation takes as its body or answers with; `bodies` says which fields of a
/// request stand in the path instead.
pub(super) fn all(
    pool: &DescriptorPool,
    comments: &Comments,
    bodies: &Bodies,
) -> Map<String, Value> {
    let requests: Vec<_> = bodies
        .keys()
        .filter_map(|name| pool.get_message_by_name(name))
        .collect();
    let taken = reachable(requests);
    let given = reachable(
        gateway_methods(pool)
            .into_iter()
            .filter(|method| !method.is_client_streaming())
            .map(|method| method.output())
            .filter(|message| message.full_name() != RAW),
    );
    let mut schemas = Map::new();
    for message in taken.iter().chain(&given) {
        let whole = [Vec::new()];
        let forms = bodies.get(message.full_name());
        let forms = forms.map_or(&whole[..], Vec::as_slice);
        for (form, in_path) in forms.iter().enumerate() {
            let schema = of_message(message, in_path, !taken.contains(message), comments);
            schemas.insert(name(message, form), schema);
        }
    }
    schemas.insert("Status".to_owned(), status(pool, comments));
    schemas
}

/// What a message's schema is called; its further forms are numbered, as the operations that take them are.
pub(super) fn name(message: &MessageDescriptor, form: usize) -> String {
    if form == 0 {
        message.name().to_owned()
    } else {
        format!("{}_{}", message.name(), form + 1)
    }
}

pub(super) fn reference(message: &MessageDescriptor) -> Value {
    if message.full_name() == EMPTY {
        return json!({"type": "object", "additionalProperties": false});
    }
    reference_to(&name(message, 0))
}

pub(super) fn reference_to(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// The JSON form of a field, repeated ones included.
pub(super) fn of_field(field: &FieldDescriptor) -> Value {
    let mut one = of_kind(&field.kind());
    // Of a 64-bit number JSON has a string, which no minimum bounds.
    if COUNTS.contains(&field.name()) && one["type"] == "integer" {
        one["minimum"] = json!(0);
    }
    if field.is_list() {
        json!({"type": "array", "items": one})
    } else {
        one
    }
}

/// `answered`: it stands in answers only, where fields that have no presence are always printed.
fn of_message(
    message: &MessageDescriptor,
    in_path: &[String],
    answered: bool,
    comments: &Comments,
) -> Value {
    let file = message.parent_file();
    let mut properties = Map::new();
    let mut required = Vec::new();
    for field in message
        .fields()
        .filter(|field| !in_path.iter().any(|name| name == field.name()))
    {
        let mut schema = of_field(&field);
        schema["description"] = json!(comments.get(&file, field.path()));
        let redacted = field
            .options()
            .get_field_by_name("debug_redact")
            .and_then(|value| value.as_bool());
        if redacted == Some(true) && !answered {
            schema["format"] = json!("password");
        }
        properties.insert(field.name().to_owned(), schema);
        if answered && !field.supports_presence() {
            required.push(field.name().to_owned());
        }
    }
    let mut schema = json!({
        "type": "object",
        "description": comments.get(&file, message.path()),
        "properties": properties,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn of_kind(kind: &Kind) -> Value {
    match kind {
        Kind::Bool => json!({"type": "boolean"}),
        Kind::String => json!({"type": "string"}),
        Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
        Kind::Float | Kind::Double => json!({"type": "number"}),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            json!({"type": "integer", "format": "int32"})
        }
        Kind::Uint32 | Kind::Fixed32 => json!({"type": "integer", "format": "int64", "minimum": 0}),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            json!({"type": "string", "format": "int64", "pattern": DIGITS})
        }
        Kind::Uint64 | Kind::Fixed64 => json!({"type": "string", "format": "uint64"}),
        Kind::Enum(names) => {
            json!({"type": "string", "enum": names.values().map(|value| value.name().to_owned()).collect::<Vec<_>>()})
        }
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => json!({"type": "string", "format": "date-time"}),
            "google.protobuf.Duration" => json!({"type": "string", "pattern": DURATION}),
            "google.protobuf.FieldMask" => json!({"type": "string"}),
            "google.protobuf.Struct" => json!({"type": "object", "additionalProperties": true}),
            name => {
                assert!(
                    !name.starts_with("google.protobuf."),
                    "say here how {name} looks in JSON"
                );
                reference(message)
            }
        },
    }
}

/// The error: google.rpc.Status, always with an ErrorInfo whose reasons come from our enum.
fn status(pool: &DescriptorPool, comments: &Comments) -> Value {
    let reasons = pool
        .get_enum_by_name("tenantry.errors.v1.Reason")
        .expect("the enum exists");
    let reasons: Vec<_> = reasons
        .values()
        .filter(|value| value.number() != 0)
        .collect();
    let meanings = reasons.iter().map(|value| {
        let meaning = comments.get(&value.parent_enum().parent_file(), value.path());
        format!(
            "- `{}`: {meaning}\n",
            value.name().trim_start_matches("REASON_")
        )
    });
    json!({
        "type": "object",
        "description": "An error (google.rpc.Status).",
        "required": ["code", "message"],
        "properties": {
            "code": {"type": "integer", "format": "int32", "description": "A google.rpc.Code."},
            "message": {"type": "string", "description": "For people: what is wrong and what to do."},
            "details": {
                "type": "array",
                "description": "One google.rpc.ErrorInfo; BadRequest, RetryInfo and others as they apply.",
                "items": {
                    "type": "object",
                    "required": ["@type"],
                    "additionalProperties": true,
                    "properties": {
                        "@type": {"type": "string", "examples": ["type.googleapis.com/google.rpc.ErrorInfo"]},
                        "reason": {
                            "type": "string",
                            "description": format!("In ErrorInfo, one of:\n{}", meanings.collect::<String>()),
                        },
                        "domain": {"type": "string", "description": "In ErrorInfo: `tenantry`."},
                        "metadata": {
                            "type": "object",
                            "additionalProperties": {"type": "string"},
                            "description": "In ErrorInfo: what the reason is about.",
                        },
                    },
                },
            },
        },
    })
}

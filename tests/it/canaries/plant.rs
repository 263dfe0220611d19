//! Where a request has room for a canary: every string, bytes and Struct field of it, in nested messages too.

use anyhow::Result;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::needles::Marks;
use crate::support::dynamic::descriptor;

/// How deep messages are looked into.
const DEPTH: usize = 4;

/// One field of a request, by the names that lead to it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    steps: Vec<FieldDescriptor>,
    form: Form,
    /// Whether the contract marks it as one that nobody may ever see again.
    pub(super) is_secret: bool,
}

/// How a canary is written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    Bytes,
    Struct,
    Mask,
}

/// The places of a method's request.
pub(super) fn places(path: &str) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    look(&descriptor(path)?.input(), &[], &mut places);
    Ok(places)
}

fn look(message: &MessageDescriptor, above: &[FieldDescriptor], places: &mut Vec<Place>) {
    for field in message.fields() {
        let is_secret = is_secret(&field);
        let mut steps = above.to_vec();
        let kind = field.kind();
        steps.push(field);
        let form = match kind {
            Kind::String => Form::Text,
            Kind::Bytes => Form::Bytes,
            Kind::Message(inner) => match inner.full_name() {
                "google.protobuf.Struct" => Form::Struct,
                "google.protobuf.FieldMask" => Form::Mask,
                // Times and durations.
                name if name.starts_with("google.protobuf.") => continue,
                _ if steps.len() < DEPTH => {
                    look(&inner, &steps, places);
                    continue;
                }
                _ => continue,
            },
            _ => continue,
        };
        places.push(Place {
            steps,
            form,
            is_secret,
        });
    }
}

/// Whether the contract marks a field `debug_redact`.
pub(super) fn is_secret(field: &FieldDescriptor) -> bool {
    let options = field.options();
    let redact = options.get_field_by_name("debug_redact");
    redact.is_some_and(|value| value.as_bool() == Some(true))
}

impl Place {
    /// The place as it is called in messages of the test.
    pub(super) fn name(&self) -> String {
        let names: Vec<_> = self.steps.iter().map(FieldDescriptor::name).collect();
        names.join(".")
    }

    /// Puts a canary there; the rest of the request stays as it is.
    pub(super) fn plant(&self, request: &mut Value, marks: &Marks) -> String {
        let canary = if self.is_secret {
            marks.secret()
        } else {
            marks.plain()
        };
        let mut at = request;
        for (n, step) in self.steps.iter().enumerate() {
            // Messages are objects in JSON.
            let Some(fields) = at.as_object_mut() else {
                return canary;
            };
            let slot = fields.entry(step.json_name()).or_insert(Value::Null);
            let last = n + 1 == self.steps.len();
            let value = last.then(|| self.written(&canary));
            at = match (step.is_list(), value) {
                (true, Some(value)) => {
                    *slot = json!([value]);
                    slot
                }
                (false, Some(value)) => {
                    *slot = value;
                    slot
                }
                (true, None) => {
                    if slot.as_array().is_none_or(|list| list.is_empty()) {
                        *slot = json!([{}]);
                    }
                    &mut slot[0]
                }
                (false, None) => {
                    if !slot.is_object() {
                        *slot = Value::Object(Map::new());
                    }
                    slot
                }
            };
        }
        canary
    }

    fn written(&self, canary: &str) -> Value {
        let name = self.steps.last().map_or("", FieldDescriptor::name);
        match self.form {
            Form::Text if name.ends_with("email") => json!(format!("{canary}@example.com")),
            Form::Text if name.ends_with("uri") || name.ends_with("uris") || name == "issuer" => {
                json!(format!("https://{canary}.example.com/here"))
            }
            Form::Text if name == "domain" || name == "email_domains" => {
                json!(format!("{canary}.example.com"))
            }
            Form::Text | Form::Mask => json!(canary),
            Form::Bytes => json!(BASE64_STANDARD.encode(canary)),
            Form::Struct => json!({canary: {"deep": [canary, {"deeper": canary}]}}),
        }
    }
}

/// The values of an answer that the contract marks as ones that nobody may ever see again.
pub(super) fn secrets(message: &MessageDescriptor, answer: &Value, found: &mut Vec<String>) {
    for field in message.fields() {
        let value = &answer[field.json_name()];
        if is_secret(&field) {
            found.extend(value.as_str().map(str::to_owned));
        } else if let (Kind::Message(inner), true) = (field.kind(), value.is_object()) {
            secrets(&inner, value, found);
        }
    }
}

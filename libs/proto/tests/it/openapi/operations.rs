//! Paths and operations: one for each REST binding.

use std::collections::BTreeMap;

use prost_reflect::{DescriptorPool, MessageDescriptor, MethodDescriptor};
use serde_json::{Map, Value, json};
use tenantry_proto::methods::{self, Binding};

use super::schemas;
use crate::bindings::fields;
use crate::comments::Comments;
use crate::{gateway_methods, path_of};

/// What an answer that is no JSON may be (`google.api.HttpBody`).
const RAW: [&str; 2] = ["application/x-ndjson", "text/csv"];

/// All operations, and which requests travel as a body without which fields (those that the path carries).
pub(super) struct Operations {
    pub(super) paths: Map<String, Value>,
    pub(super) bodies: Bodies,
}

/// Of each message that is a request's body, which of its fields stand in the path instead: bindings may differ there, and
/// then each has a schema of its own.
pub(super) type Bodies = BTreeMap<String, Vec<Vec<String>>>;

pub(super) fn all(pool: &DescriptorPool, comments: &Comments) -> Operations {
    let mut operations = Operations {
        paths: Map::new(),
        bodies: BTreeMap::new(),
    };
    for method in gateway_methods(pool) {
        let path = path_of(&method);
        let bindings = methods::find(&path)
            .expect("the table holds every RPC")
            .bindings;
        for (index, binding) in bindings.iter().enumerate() {
            let body =
                (binding.body == "*").then(|| body(&mut operations.bodies, &method, binding));
            let entry = operations
                .paths
                .entry(binding.template)
                .or_insert_with(|| json!({}));
            entry[binding.method.to_lowercase()] =
                operation(&method, binding, body, index, comments);
        }
    }
    operations
}

pub(super) fn tags(pool: &DescriptorPool, comments: &Comments) -> Vec<Value> {
    let mut services: Vec<_> = gateway_methods(pool)
        .iter()
        .map(|method| method.parent_service().clone())
        .collect();
    services.dedup_by_key(|service| service.full_name().to_owned());
    services.sort_by_key(|service| service.name().to_owned());
    services
        .iter()
        .map(|service| {
            json!({"name": tag(service.name()), "description": comments.get(&service.parent_file(), service.path())})
        })
        .collect()
}

/// The schema of a binding's body.
fn body(bodies: &mut Bodies, method: &MethodDescriptor, binding: &Binding) -> Value {
    let in_path: Vec<_> = fields(binding.template)
        .into_iter()
        .map(str::to_owned)
        .collect();
    let input = method.input();
    let forms = bodies.entry(input.full_name().to_owned()).or_default();
    let form = forms.iter().position(|known| *known == in_path);
    let form = form.unwrap_or_else(|| {
        forms.push(in_path);
        forms.len() - 1
    });
    schemas::reference_to(&schemas::name(&input, form))
}

fn operation(
    method: &MethodDescriptor,
    binding: &Binding,
    body: Option<Value>,
    index: usize,
    comments: &Comments,
) -> Value {
    let service = method.parent_service();
    let suffix = if index == 0 {
        String::new()
    } else {
        format!("_{}", index + 1)
    };
    let mut operation = json!({
        "operationId": format!("{}_{}{suffix}", service.name(), method.name()),
        "tags": [tag(service.name())],
        "summary": sentence(method.name()),
        "description": comments.get(&service.parent_file(), method.path()),
        "parameters": parameters(method, binding, comments),
        "responses": {"200": answer(method), "default": {"$ref": "#/components/responses/error"}},
    });
    if let Some(schema) = body {
        operation["requestBody"] = json!({
            // None is an empty object.
            "required": false,
            "content": {"application/json": {"schema": schema}},
        });
    } else if !binding.body.is_empty() {
        // A field has the body as it comes, of whatever kind.
        operation["requestBody"] = json!({
            "required": true,
            "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
        });
    }
    if methods::PUBLIC_METHODS.contains(&path_of(method).as_str()) {
        operation["security"] = json!([]);
    }
    operation
}

fn answer(method: &MethodDescriptor) -> Value {
    if method.output().full_name() == schemas::RAW {
        let text = json!({"schema": {"type": "string"}});
        let content = RAW.map(|kind| (kind.to_owned(), text.clone()));
        return json!({
            "description": "The lines or records as they come; the last one tells how they end.",
            "content": Map::from_iter(content),
        });
    }
    let description = if method.is_server_streaming() {
        "The items as they come: one JSON object on each line.".to_owned()
    } else if method.output().full_name() == schemas::EMPTY {
        "Done.".to_owned()
    } else {
        format!(
            "{}.",
            sentence(method.output().name().trim_end_matches("Response"))
        )
    };
    json!({
        "description": description,
        "content": {"application/json": {"schema": schemas::reference(&method.output())}},
    })
}

fn parameters(method: &MethodDescriptor, binding: &Binding, comments: &Comments) -> Vec<Value> {
    let input = method.input();
    let in_path = fields(binding.template);
    let mut parameters: Vec<_> = in_path
        .iter()
        .map(|name| parameter(&input, name, "path", comments))
        .collect();
    if binding.body.is_empty() {
        let in_query = input
            .fields()
            .filter(|field| !in_path.contains(&field.name()));
        parameters.extend(in_query.map(|field| parameter(&input, field.name(), "query", comments)));
    }
    let path = path_of(method);
    let method = methods::find(&path).expect("the table holds every RPC");
    if method.has_request_id {
        parameters.push(json!({"$ref": "#/components/parameters/idempotency_key"}));
    }
    if !method.is_public() {
        if !in_path.contains(&"tenant") {
            parameters.push(json!({"$ref": "#/components/parameters/tenant_id"}));
            parameters.push(json!({"$ref": "#/components/parameters/tenant_slug"}));
        }
        parameters.push(json!({"$ref": "#/components/parameters/project"}));
    }
    parameters
}

fn parameter(input: &MessageDescriptor, name: &str, place: &str, comments: &Comments) -> Value {
    let field = input
        .get_field_by_name(name)
        .expect("another test checked the template");
    let mut parameter = json!({
        "name": name,
        "in": place,
        "description": comments.get(&input.parent_file(), field.path()),
        "schema": schemas::of_field(&field),
    });
    if place == "path" {
        parameter["required"] = json!(true);
    }
    parameter
}

/// `TenantService` as people say it: "Tenant".
fn tag(service: &str) -> String {
    sentence(service.trim_end_matches("Service"))
}

/// `ListApiKeys` as people write it: "List api keys".
fn sentence(name: &str) -> String {
    let mut words = String::new();
    for (index, letter) in name.chars().enumerate() {
        if index > 0 && letter.is_uppercase() {
            words.push(' ');
            words.extend(letter.to_lowercase());
        } else {
            words.push(letter);
        }
    }
    words
}

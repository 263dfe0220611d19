//! The OpenAPI 3.1 document of the REST API, derived from the descriptor set and its comments.

mod about;
mod operations;
mod schemas;

use prost_reflect::DescriptorPool;
use serde_json::{Value, json};

use crate::comments::Comments;
use crate::{golden, pool};

#[test]
fn the_committed_document_is_what_the_contracts_say() {
    let mut document = document(&pool());
    // Another crate's feature could keep insertion order instead.
    document.sort_all_objects();
    let mut text = serde_json::to_string_pretty(&document).expect("JSON can be written");
    text.push('\n');
    golden::assert_text("../../deploy/openapi.json", &text);
}

#[test]
fn every_reference_of_the_document_names_a_part_of_it() {
    let document = document(&pool());
    let mut references = 0;
    let mut parts = vec![&document];
    while let Some(part) = parts.pop() {
        match part {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    let place = reference.trim_start_matches('#');
                    assert!(document.pointer(place).is_some(), "{reference}");
                    references += 1;
                }
                parts.extend(fields.values());
            }
            Value::Array(items) => parts.extend(items),
            _ => {}
        }
    }
    assert!(references > 0);
}

fn document(pool: &DescriptorPool) -> Value {
    let comments = Comments::of(pool);
    let operations = operations::all(pool, &comments);
    json!({
        "openapi": "3.1.1",
        "info": about::info(),
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"api_key": []}],
        "tags": operations::tags(pool, &comments),
        "paths": operations.paths,
        "components": {
            "schemas": schemas::all(pool, &comments, &operations.bodies),
            "parameters": about::parameters(),
            "responses": about::responses(),
            "securitySchemes": about::security_schemes(),
        },
    })
}

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

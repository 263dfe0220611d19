//! The parts of the document that don't come from a contract: what holds for every call.

use serde_json::{Value, json};

const DESCRIPTION: &str = "The control plane behind a multi-tenant product: who is this customer, who may act for them, \
and how are they set up.

**Credentials.** Send an access token as `Authorization: Bearer <token>` or an API key as `X-API-Key`.

**Tenant.** The credential decides which tenants a call may act in; the path, the host, or the header `X-Tenant-ID` or \
`X-Tenant-Slug` selects one of them. Two that differ are refused. A slug is looked up in the credential's project, or in \
that of `X-Project`. `{tenant}` in a path is an id or a slug. What is out of reach is answered exactly as what doesn't exist.

**Retries.** Changes take a `request_id` in the body (as a query parameter for DELETE), or the header `Idempotency-Key`: \
repeating a call with the same one within 24 hours gives the first answer and changes nothing.

**JSON.** Names are snake_case. Times are RFC 3339. A 64-bit number is a string. Unknown query parameters are refused; \
unknown fields of a body are ignored.

**Errors** are a `google.rpc.Status`. Branch on the `reason` of its ErrorInfo, never on the message.";

pub(super) fn info() -> Value {
    json!({
        "title": "Tenantry",
        "version": "v1",
        "description": DESCRIPTION,
        "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
    })
}

pub(super) fn security_schemes() -> Value {
    json!({
        "bearer": {"type": "http", "scheme": "bearer", "description": "An access token from login, or an API key."},
        "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
    })
}

pub(super) fn parameters() -> Value {
    json!({
        "tenant_id": header("X-Tenant-ID", "Id of the tenant to act in, where the credential admits several."),
        "tenant_slug": header("X-Tenant-Slug", "Slug of the tenant to act in, where the credential admits several."),
        "project": header("X-Project", "Key of the project in which a slug is looked up."),
        "idempotency_key": header("Idempotency-Key", "The same as `request_id`; both and different is refused."),
    })
}

pub(super) fn responses() -> Value {
    json!({
        "error": {
            "description": "What went wrong, why, and what to do.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Status"}}},
        },
    })
}

fn header(name: &str, description: &str) -> Value {
    json!({"name": name, "in": "header", "description": description, "schema": {"type": "string"}})
}

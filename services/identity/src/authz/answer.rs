//! Answers to Envoy: the assertion and what to take away, or a finished google.rpc.Status for whichever protocol the
//! caller speaks.

use prost_types::value::Kind;
use prost_types::{Struct, Value};
use tenantry_core::Refusal;
use tenantry_proto::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use tenantry_proto::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use tenantry_proto::envoy::service::auth::v3::check_response::HttpResponse;
use tenantry_proto::envoy::service::auth::v3::{CheckResponse, DeniedHttpResponse, OkHttpResponse};
use tenantry_proto::envoy::r#type::v3::HttpStatus;
use tenantry_proto::google::rpc;
use tenantry_rpc::assertion::HEADER;
use tenantry_rpc::status::json;
use tonic::Code;

use super::choose::Chosen;
use super::decide::Decided;

/// What identity alone reads, and no service behind it.
const INPUTS: [&str; 5] = [
    "x-tenant-id",
    "x-tenant-slug",
    "x-project",
    "x-api-key",
    "authorization",
];

/// A request that may pass.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) decided: Decided,
    pub(super) token: String,
    /// Whether it uses one of the tenant's calls.
    pub(super) metered: bool,
}

/// A public method: nothing is asserted.
pub(super) fn public() -> CheckResponse {
    passed(Vec::new(), Struct::default())
}

/// A request of someone.
pub(super) fn admitted(admitted: Admitted) -> CheckResponse {
    let Admitted {
        decided,
        token,
        metered,
    } = admitted;
    let mut facts = vec![
        ("principal", decided.principal.key()),
        ("credential", decided.credential.to_string()),
    ];
    if let Chosen::Tenant(entry) = &decided.tenant {
        let id = entry.id.to_string();
        // What operators do is no use that a tenant makes.
        if metered && decided.home.is_some() {
            facts.push(("metered", id.clone()));
        }
        facts.push(("tenant", id));
    }
    let facts = facts
        .into_iter()
        .map(|(key, value)| {
            let kind = Some(Kind::StringValue(value));
            (key.to_owned(), Value { kind })
        })
        .collect();
    passed(vec![header(HEADER, token)], Struct { fields: facts })
}

fn passed(headers: Vec<HeaderValueOption>, metadata: Struct) -> CheckResponse {
    CheckResponse {
        status: Some(rpc::Status::default()),
        dynamic_metadata: Some(metadata),
        http_response: Some(HttpResponse::OkResponse(OkHttpResponse {
            headers,
            headers_to_remove: INPUTS.map(str::to_owned).to_vec(),
            ..OkHttpResponse::default()
        })),
    }
}

/// A request refused: JSON for REST, headers for gRPC, which has its status there.
pub(super) fn denied(refusal: Refusal, is_grpc: bool) -> CheckResponse {
    let json = json(&refusal);
    let status = tenantry_rpc::status(refusal);
    let code = status.code();
    let message = status.message().to_owned();
    let retry_after = status.metadata().get("retry-after").cloned();
    let mut headers = Vec::new();
    if is_grpc {
        let written = status.into_http::<()>();
        for name in ["grpc-status", "grpc-message", "grpc-status-details-bin"] {
            let value = written.headers().get(name).and_then(|v| v.to_str().ok());
            headers.extend(value.map(|value| header(name, value)));
        }
    } else {
        headers.push(header("content-type", "application/json"));
    }
    if let Some(value) = retry_after.as_ref().and_then(|value| value.to_str().ok()) {
        headers.push(header("retry-after", value));
    }
    if code == Code::Unauthenticated {
        headers.push(header("www-authenticate", "Bearer"));
    }
    CheckResponse {
        status: Some(rpc::Status {
            code: code.into(),
            message,
            details: Vec::new(),
        }),
        dynamic_metadata: None,
        http_response: Some(HttpResponse::DeniedResponse(DeniedHttpResponse {
            status: Some(HttpStatus {
                code: http_code(code),
            }),
            headers,
            body: if is_grpc { String::new() } else { json },
        })),
    }
}

/// The HTTP status of the few codes that the gateway itself answers with.
fn http_code(code: Code) -> i32 {
    match code {
        Code::Unauthenticated => 401,
        Code::PermissionDenied => 403,
        Code::ResourceExhausted => 429,
        Code::Unavailable | Code::DeadlineExceeded => 503,
        _ => 500,
    }
}

fn header(key: &str, value: impl Into<String>) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue {
            key: key.to_owned(),
            value: value.into(),
            ..HeaderValue::default()
        }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..HeaderValueOption::default()
    }
}

//! What the gateway asks about a request, ready to be sent.

use std::collections::HashMap;
use std::sync::Arc;

use prost::Message as _;
use tenantry_proto::envoy::service::auth::v3::attribute_context::{HttpRequest, Request};
use tenantry_proto::envoy::service::auth::v3::check_response::HttpResponse;
use tenantry_proto::envoy::service::auth::v3::{AttributeContext, CheckRequest, CheckResponse};
use tenantry_testkit::keys::GatewayWord;

use crate::drive::Ask;

/// The method that Envoy calls.
pub const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// The question about a request with this credential, with about the headers that Envoy sends along, its word among them.
#[must_use]
pub fn about(credential: &str, word: &GatewayWord) -> CheckRequest {
    let headers: HashMap<String, String> = [
        (":authority", "127.0.0.1:8080"),
        (":method", "POST"),
        (":path", "/tenantry.identity.v1.AuthService/GetCaller"),
        (":scheme", "http"),
        ("authorization", &format!("Bearer {credential}")),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("user-agent", "tonic/0.14.9"),
        ("x-envoy-external-address", "192.0.2.1"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-proto", "http"),
        (
            GatewayWord::HEADER,
            word.value().to_str().unwrap_or_default(),
        ),
        ("x-request-id", "1d53a3ba-5d37-4e50-ae44-1d1c7eba3a5a"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    let http = HttpRequest {
        method: "POST".to_owned(),
        path: headers[":path"].clone(),
        protocol: "HTTP/2".to_owned(),
        headers,
        ..Default::default()
    };
    let request = Request {
        http: Some(http),
        ..Default::default()
    };
    CheckRequest {
        attributes: Some(AttributeContext {
            request: Some(request),
            ..Default::default()
        }),
    }
}

/// The questions about these credentials.
#[must_use]
pub fn asks(credentials: &[String], word: &GatewayWord) -> Arc<[Ask]> {
    let ask = |credential: &String| Ask {
        body: about(credential, word).encode_to_vec().into(),
        ..Ask::default()
    };
    credentials.iter().map(ask).collect()
}

/// Whether the request may pass, as someone's.
#[must_use]
pub fn is_admitted(answer: &[u8]) -> bool {
    CheckResponse::decode(answer).is_ok_and(|answer| {
        matches!(answer.http_response, Some(HttpResponse::OkResponse(ok)) if !ok.headers.is_empty())
    })
}

/// Whether the request is refused.
#[must_use]
pub fn is_denied(answer: &[u8]) -> bool {
    CheckResponse::decode(answer)
        .is_ok_and(|answer| matches!(answer.http_response, Some(HttpResponse::DeniedResponse(_))))
}

//! What an Envoy asks about how much may pass, ready to be sent.

use prost::Message as _;
use tenantry_proto::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use tenantry_proto::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::Entry;
use tenantry_proto::envoy::service::ratelimit::v3::rate_limit_response::Code;
use tenantry_proto::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use uuid::Uuid;

use crate::drive::Ask;

/// The method that Envoy calls.
pub const SHOULD_RATE_LIMIT: &str = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";
/// The domain of our descriptors.
pub const DOMAIN: &str = "tenantry";
/// A limit that no benchmark comes to.
pub const PLENTY: i64 = 1 << 40;
/// The limit whose admissions are counted, and the domain where quota's peers have it.
pub const LIMIT: i64 = 1_000;
pub const EXACT: &str = "exact";

/// The question whether a tenant has so much left.
#[must_use]
pub fn ask(domain: &str, tenant: Uuid, hits: u32) -> Ask {
    let entry = Entry {
        key: "tenant".to_owned(),
        value: tenant.to_string(),
    };
    let descriptor = RateLimitDescriptor {
        entries: vec![entry],
        ..Default::default()
    };
    let request = RateLimitRequest {
        domain: domain.to_owned(),
        descriptors: vec![descriptor],
        hits_addend: hits,
    };
    Ask {
        body: request.encode_to_vec().into(),
        ..Ask::default()
    }
}

/// What was answered: whether it may pass; none where it says neither.
#[must_use]
pub fn answered(answer: &[u8]) -> Option<bool> {
    match RateLimitResponse::decode(answer).ok()?.overall_code() {
        Code::Ok => Some(true),
        Code::OverLimit => Some(false),
        Code::Unknown => None,
    }
}

/// Whether it may pass.
#[must_use]
pub fn is_ok(answer: &[u8]) -> bool {
    answered(answer) == Some(true)
}

/// Whether it is an answer at all.
#[must_use]
pub fn is_answer(answer: &[u8]) -> bool {
    answered(answer).is_some()
}

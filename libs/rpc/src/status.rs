//! Refusals on the wire: google.rpc.Status with an ErrorInfo, and BadRequest and RetryInfo where they apply. The one
//! place where a refusal becomes a status.
//!
//! Envoy copies gRPC's own message into its traces. So a sentence that may quote what was asked, or what is kept, stands in the
//! details alone, from which REST is answered; beside them gRPC's message says where to look.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use prost::Message as _;
use serde::Serialize;
use tenantry_core::refusal::Violation;
use tenantry_core::{Kind, Reason, Refusal};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _, pb};

/// `ErrorInfo.domain` of everything that Tenantry answers.
pub const DOMAIN: &str = "tenantry";

/// The status code of a kind.
#[must_use]
pub const fn code(kind: Kind) -> Code {
    match kind {
        Kind::InvalidArgument => Code::InvalidArgument,
        Kind::Unauthenticated => Code::Unauthenticated,
        Kind::PermissionDenied => Code::PermissionDenied,
        Kind::Unimplemented => Code::Unimplemented,
        Kind::NotFound => Code::NotFound,
        Kind::AlreadyExists => Code::AlreadyExists,
        Kind::Aborted => Code::Aborted,
        Kind::FailedPrecondition => Code::FailedPrecondition,
        Kind::OutOfRange => Code::OutOfRange,
        Kind::ResourceExhausted => Code::ResourceExhausted,
        Kind::Unavailable => Code::Unavailable,
        Kind::DeadlineExceeded => Code::DeadlineExceeded,
        Kind::Internal => Code::Internal,
    }
}

/// The status that tells a refusal.
#[must_use]
pub fn status(refusal: Refusal) -> Status {
    let code = code(refusal.kind());
    let metadata: HashMap<String, String> = refusal
        .metadata
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    let beside = beside_details(refusal.reason, &refusal.violations);
    let mut details = ErrorDetails::new();
    details.set_error_info(refusal.reason.word(), DOMAIN, metadata);
    for violation in refusal.violations {
        details.add_bad_request_violation(violation.field, violation.description);
    }
    let retry = refusal
        .retry_after_ms
        .map(|ms| Duration::from_millis(ms.into()));
    if let Some(retry) = retry {
        details.set_retry_info(Some(retry));
    }
    let mut status = Status::with_error_details(code, refusal.message, details);
    if let Some(beside) = beside {
        let details = status.details().to_vec();
        status = Status::with_details(code, beside, details.into());
    }
    // RetryInfo alone doesn't reach REST; this header does. Whole seconds (RFC 9110), at least one.
    if let Some(retry) = retry
        && let Ok(seconds) = retry.as_secs().max(1).to_string().parse()
    {
        status.metadata_mut().insert("retry-after", seconds);
    }
    status
}

/// What gRPC's own message says where the sentence may quote; none where it doesn't.
fn beside_details(reason: Reason, violations: &[Violation]) -> Option<String> {
    let quotes = matches!(
        reason,
        Reason::InvalidFilter
            | Reason::InvalidOrderBy
            | Reason::LegalHold
            | Reason::DomainNotVerified
    );
    let fields: Vec<_> = violations.iter().map(|wrong| &*wrong.field).collect();
    if !fields.is_empty() {
        let fields = fields.join(", ");
        return Some(format!(
            "{fields}: what is wrong there stands in the details (google.rpc.BadRequest)."
        ));
    }
    quotes.then(|| {
        let word = reason.word();
        format!("{word}: what to do stands in the message of the details (google.rpc.Status).")
    })
}

/// Facts that a refusal keeps when it is handed on: how a limit stands, in their order.
const FACTS_OF_LIMITS: [&str; 6] = [
    "resource_type",
    "limit",
    "usage",
    "remaining",
    "reset_at",
    "limit_tenant_id",
];

/// The refusal that another service of the fleet told, to be handed on; none where the status tells something else. Of further
/// facts for programs those are kept that say how a limit stands.
#[must_use]
pub fn refusal(status: &Status) -> Option<Refusal> {
    let details = status.get_error_details();
    let told = details.error_info().filter(|info| info.domain == DOMAIN)?;
    let mut reasons = Reason::ALL.iter().copied();
    let reason = reasons.find(|reason| reason.word() == told.reason)?;
    let whole = pb::Status::decode(status.details());
    let mut refusal = Refusal::new(reason, whole.map_or_else(|_| String::new(), |s| s.message));
    let violations = details.bad_request().into_iter();
    refusal.violations = violations
        .flat_map(|bad| &bad.field_violations)
        .map(|wrong| Violation {
            field: wrong.field.clone(),
            description: wrong.description.clone(),
        })
        .collect();
    let retry = details.retry_info().and_then(|info| info.retry_delay);
    for fact in FACTS_OF_LIMITS {
        if let Some(value) = told.metadata.get(fact) {
            refusal.metadata.push((fact, value.clone()));
        }
    }
    refusal.retry_after_ms = retry.and_then(|delay| u32::try_from(delay.as_millis()).ok());
    Some(refusal)
}

#[derive(Serialize)]
struct Body<'a> {
    code: i32,
    message: &'a str,
    details: Vec<Detail<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "@type")]
enum Detail<'a> {
    #[serde(rename = "type.googleapis.com/google.rpc.ErrorInfo")]
    ErrorInfo {
        reason: &'a str,
        domain: &'a str,
        metadata: BTreeMap<&'a str, &'a str>,
    },
    #[serde(rename = "type.googleapis.com/google.rpc.RetryInfo")]
    RetryInfo { retry_delay: String },
}

/// A refusal as google.rpc.Status in JSON, as the gateway's transcoder writes it, members in their order.
#[must_use]
pub fn json(refusal: &Refusal) -> String {
    let metadata = refusal.metadata.iter();
    let info = Detail::ErrorInfo {
        reason: refusal.reason.word(),
        domain: DOMAIN,
        metadata: metadata
            .map(|(key, value)| (*key, value.as_str()))
            .collect(),
    };
    let retry = refusal.retry_after_ms.map(|ms| Detail::RetryInfo {
        retry_delay: format!("{}.{:03}s", ms / 1000, ms % 1000),
    });
    let body = Body {
        code: code(refusal.kind()).into(),
        message: &refusal.message,
        details: std::iter::once(info).chain(retry).collect(),
    };
    serde_json::to_string(&body).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenantry_proto::errors::v1::Reason as Wire;

    #[test]
    fn every_reason_is_in_the_contract_and_every_word_of_the_contract_is_a_reason() {
        for reason in Reason::ALL {
            let word = format!("REASON_{}", reason.word());
            assert!(
                Wire::from_str_name(&word).is_some(),
                "{word} isn't in reason.proto"
            );
        }
        let words: Vec<_> = Reason::ALL.iter().map(|r| r.word()).collect();
        for number in 1..1000 {
            let Ok(wire) = Wire::try_from(number) else {
                continue;
            };
            let word = wire.as_str_name().trim_start_matches("REASON_");
            assert!(
                words.contains(&word),
                "{word} is no Reason of tenantry-core"
            );
        }
    }

    #[test]
    fn a_refusal_is_handed_on_as_it_was_told() {
        let mut told = Refusal::field("slug", "is too short");
        told.retry_after_ms = Some(1_500);
        assert_eq!(refusal(&status(told.clone())), Some(told));
        let full = Refusal::new(Reason::QuotaExceeded, "No more.")
            .with("resource_type", "users")
            .with("limit", "5");
        assert_eq!(refusal(&status(full.clone())), Some(full));
        assert_eq!(refusal(&Status::internal("not of ours")), None);
    }

    #[test]
    fn what_may_quote_the_request_stands_in_the_details_alone() {
        for told in [
            Refusal::field("slug", "is taken: Quoted"),
            Refusal::new(Reason::InvalidFilter, "there is no field Quoted"),
            Refusal::new(Reason::LegalHold, "held by Quoted"),
        ] {
            let status = status(told.clone());
            assert!(!status.message().contains("Quoted"), "{status:?}");
            assert!(status.message().contains("details"), "{status:?}");
            assert_eq!(refusal(&status), Some(told));
        }
        let plain = Refusal::new(Reason::LastOwner, "Add another owner first.");
        assert_eq!(status(plain).message(), "Add another owner first.");
    }

    #[test]
    fn a_refusal_keeps_its_reason_and_fields() {
        let status = status(Refusal::field("slug", "is too short"));
        assert_eq!(status.code(), Code::InvalidArgument);
        let details = status.get_error_details();
        assert_eq!(details.error_info().unwrap().reason, "INVALID_ARGUMENT");
        assert_eq!(
            details.bad_request().unwrap().field_violations[0].field,
            "slug"
        );
    }
}

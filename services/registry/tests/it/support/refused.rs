//! Reading refusals, and holding each to what all of them promise.

use std::fmt::Debug;

use tenantry_core::Reason;
use tonic::{Response, Status};
use tonic_types::StatusExt as _;

/// What no message may hold: words of the driver, the database or the language.
const NOT_FOR_CALLERS: &[&str] = &[
    "sqlx",
    "postgres",
    "panicked",
    "constraint",
    "relation",
    "RLS",
];

/// Why a call was refused. Every refusal has a reason of the contract, the code that goes with it, and a sentence.
#[track_caller]
pub(crate) fn why<T: Debug>(outcome: Result<Response<T>, Status>) -> Reason {
    reason(&outcome.map(Response::into_inner).unwrap_err())
}

/// The reason of a status.
#[track_caller]
pub(crate) fn reason(status: &Status) -> Reason {
    let details = status.get_error_details();
    let info = details
        .error_info()
        .unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    assert_eq!(info.domain, "tenantry");
    assert!(info.metadata.values().all(|value| !value.is_empty()));
    let reason = Reason::ALL
        .iter()
        .copied()
        .find(|reason| reason.word() == info.reason)
        .unwrap_or_else(|| panic!("{} is no reason of the contract", info.reason));
    assert_eq!(
        status.code(),
        tenantry_rpc::status::code(reason.kind()),
        "{status:?}"
    );
    assert!(status.message().len() > 10, "a sentence: {status:?}");
    for word in NOT_FOR_CALLERS {
        assert!(!status.message().contains(word), "{status:?}");
    }
    reason
}

/// The fields that a call was refused for, which must be why it was.
#[track_caller]
pub(crate) fn fields<T: Debug>(outcome: Result<Response<T>, Status>) -> Vec<String> {
    let status = outcome.map(Response::into_inner).unwrap_err();
    assert_eq!(reason(&status), Reason::InvalidArgument, "{status:?}");
    let details = status.get_error_details();
    let bad = details
        .bad_request()
        .unwrap_or_else(|| panic!("no BadRequest: {status:?}"));
    bad.field_violations
        .iter()
        .map(|violation| {
            assert!(!violation.description.is_empty());
            violation.field.clone()
        })
        .collect()
}

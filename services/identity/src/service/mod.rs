//! Handlers: each authorises, parses, calls one use case and converts.

pub(crate) mod api_keys;
pub(crate) mod auth;
pub(crate) mod invitations;
pub(crate) mod members;
pub(crate) mod operators;
pub(crate) mod permissions;
pub(crate) mod readiness;
pub(crate) mod revocation_feed;

use std::str::FromStr;

use secrecy::SecretString;
use tenantry_core::Refusal;
use tenantry_core::refusal::Violations;

use crate::domain::field;

/// An id in a message.
fn id<T: FromStr>(name: &str, text: &str) -> Result<T, Refusal> {
    field::id(text).map_err(|why| Refusal::field(name, why))
}

/// A password in a message, where there is one.
fn password(wrong: &mut Violations, text: String) -> Option<SecretString> {
    if text.is_empty() {
        return None;
    }
    wrong.take("password", field::password(&text));
    Some(text.into())
}

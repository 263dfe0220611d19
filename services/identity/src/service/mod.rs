//! Handlers: each authorises, parses, calls one use case and converts.

pub(crate) mod api_keys;
pub(crate) mod at_host;
pub(crate) mod auth;
pub(crate) mod external_sign_in;
pub(crate) mod identity_providers;
pub(crate) mod invitations;
pub(crate) mod member_roles;
pub(crate) mod members;
pub(crate) mod operators;
pub(crate) mod organizations;
pub(crate) mod passwords;
pub(crate) mod permissions;
pub(crate) mod readiness;
pub(crate) mod revocation_feed;
pub(crate) mod roles;
pub(crate) mod seats;
pub(crate) mod service_accounts;
pub(crate) mod sessions;

use std::str::FromStr;

use secrecy::SecretString;
use tenantry_core::Refusal;
use tenantry_core::refusal::Violations;

use crate::domain::{self, field};

/// An id in a message.
fn id<T: FromStr>(name: &str, text: &str) -> Result<T, Refusal> {
    field::id(text).map_err(|why| Refusal::field(name, why))
}

/// A new password in a message, where there is one. Its strength is judged where it is hashed.
fn password(wrong: &mut Violations, text: String) -> Option<SecretString> {
    if text.is_empty() {
        return None;
    }
    wrong.take("password", domain::password::length(&text));
    Some(text.into())
}

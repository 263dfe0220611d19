//! SessionService and PasswordService.

use anyhow::{Context as _, Result};
use serde_json::json;
use tenantry_testkit::fleet::{Fleet, sign_in};

use super::{Attempt, Class, absent, attempt};
use crate::support::world::{PASSWORD, Party, text};

pub(super) const ROWS: &[(&str, Class)] = &[
    (
        "/tenantry.identity.v1.PasswordService/ChangePassword",
        Class::Common,
    ),
    (
        "/tenantry.identity.v1.PasswordService/RequestPasswordReset",
        Class::Public,
    ),
    (
        "/tenantry.identity.v1.PasswordService/ResetPassword",
        Class::Public,
    ),
    (
        "/tenantry.identity.v1.SessionService/ListSessions",
        Class::Common,
    ),
    (
        "/tenantry.identity.v1.SessionService/RevokeSession",
        Class::Tenant,
    ),
    (
        "/tenantry.identity.v1.SessionService/RevokeSessions",
        Class::Common,
    ),
];

/// A session of B's owner besides the one that the test acts in.
async fn spare_session(fleet: &Fleet, b: &Party) -> Result<String> {
    sign_in(&fleet.rest()?, &b.owner_email, PASSWORD).await?;
    let page = b.rest(fleet)?.get("/api/v1/auth/sessions").await?.ok()?;
    let sessions = page["sessions"].as_array().context("sessions")?;
    let spare = sessions.iter().find(|session| session["current"] != true);
    Ok(text(spare.context("a spare session")?, "id"))
}

/// The attempts of one RPC, where it is of this noun.
pub(super) async fn attempts(
    fleet: &Fleet,
    method: &str,
    _a: &Party,
    b: &Party,
) -> Result<Option<Vec<Attempt>>> {
    Ok(match method {
        "RevokeSession" => Some(vec![attempt(
            "session",
            json!({"session": spare_session(fleet, b).await?}),
            json!({"session": absent()}),
        )]),
        _ => None,
    })
}

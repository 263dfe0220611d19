//! What identity refuses, and which reason each refusal has.

use tenantry_core::tenant::Stop;
use tenantry_core::{Reason, Refusal, TenantStatus};

/// Why a use case didn't do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("no credential")]
    NoCredential,
    #[error("not a credential of ours")]
    BadCredential,
    #[error("e-mail and password don't match")]
    BadPassword,
    #[error("the credential has expired")]
    Expired,
    #[error("the session was ended or the key revoked")]
    Revoked,
    #[error("two different credentials")]
    CredentialConflict,
    #[error("the bootstrap token is wrong, expired or used")]
    BootstrapToken,
    #[error("an operator exists")]
    AlreadyBootstrapped,
    #[error("the credential has no session")]
    NoSession,
    #[error("no such tenant")]
    TenantNotFound,
    #[error("the tenant is stopped: {0:?}")]
    Stopped(Stop),
    #[error("the tenant is {0}, and is kept as it was")]
    Kept(TenantStatus),
    #[error("no such user")]
    UserNotFound,
    #[error("a user of elsewhere")]
    InvitationRequired,
    #[error("no such invitation")]
    InvitationNotFound,
    #[error("the address has a pending invitation")]
    InvitationExists,
    #[error("an invitation for another address")]
    InvitationForAnother,
    #[error("the address of the invitation signs in already")]
    SignInToAccept,
    #[error("no mail is sent here")]
    MailOff,
    #[error("at a bound: {0}")]
    LimitReached(String),
    #[error("too many wrong links")]
    TooManyGuesses,
    #[error("no such API key")]
    ApiKeyNotFound,
    #[error("a member already")]
    MemberExists,
    #[error("an operator already")]
    OperatorExists,
    #[error("the last owner")]
    LastOwner,
    #[error("beyond the granter's own: {0}")]
    Grant(String),
    #[error("the queue of password hashing is full")]
    HashingFull,
    #[error("too many failed sign-ins")]
    TooManyFailures,
    #[error("signing or hashing failed: {0}")]
    Crypto(String),
    #[error(transparent)]
    Store(tenantry_store::Error),
}

impl From<tenantry_store::Error> for Error {
    fn from(error: tenantry_store::Error) -> Self {
        match &error {
            tenantry_store::Error::Constraint(name) => match name.as_str() {
                "memberships_pkey" => Self::MemberExists,
                "memberships_user" => Self::UserNotFound,
                "invitations_open" => Self::InvitationExists,
                "operators_pkey" | "operators_email" => Self::OperatorExists,
                _ => Self::Store(error),
            },
            _ => Self::Store(error),
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        tenantry_store::Error::from(error).into()
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let (reason, message) = match error {
            Error::Refused(refusal) => return refusal,
            Error::Store(error) => return error.into(),
            Error::TenantNotFound => return Self::tenant_not_found(),
            Error::Stopped(stop) => return Self::tenant_stopped(stop),
            Error::Kept(status) => return Self::tenant_kept(status),
            Error::HashingFull => {
                return Self::overloaded(
                    "Too many sign-ins at once. Wait a second, then try again.",
                );
            }
            Error::TooManyFailures => {
                let mut refusal = Self::overloaded("Too many failed sign-ins. Wait a minute, then try again.");
                refusal.retry_after_ms = Some(60_000);
                return refusal;
            }
            Error::TooManyGuesses => {
                let mut refusal = Self::overloaded("Too many wrong links. Wait a minute, then try again with the whole link of the newest mail.");
                refusal.retry_after_ms = Some(60_000);
                return refusal;
            }
            Error::Crypto(what) => {
                tracing::error!(error = what, "signing or hashing failed");
                return Self::internal();
            }
            Error::NoCredential => (
                Reason::Unauthenticated,
                "This needs a credential. Send `Authorization: Bearer` with an access token or an API key, or `X-API-Key`."
                    .to_owned(),
            ),
            Error::BadCredential => (
                Reason::Unauthenticated,
                "The credential isn't valid. Sign in again, or check that the whole API key was sent.".to_owned(),
            ),
            Error::BadPassword => (
                Reason::BadCredentials,
                "E-mail address and password don't match. Check both.".to_owned(),
            ),
            Error::Expired => (
                Reason::CredentialExpired,
                "The credential has expired. Refresh the session, sign in again, or make a new API key.".to_owned(),
            ),
            Error::Revoked => (
                Reason::CredentialRevoked,
                "The session was ended or the API key revoked. Sign in again, or make a new API key.".to_owned(),
            ),
            Error::CredentialConflict => (
                Reason::CredentialConflict,
                "Two different credentials came with the request. Send one: `Authorization: Bearer` or `X-API-Key`."
                    .to_owned(),
            ),
            Error::BootstrapToken => (
                Reason::BootstrapTokenInvalid,
                "The one-time token is wrong, expired or used. Print a new one with `identity bootstrap-token`.".to_owned(),
            ),
            Error::AlreadyBootstrapped => (
                Reason::AlreadyBootstrapped,
                "An operator exists already. Sign in as one, and add others with POST /api/v1/operators.".to_owned(),
            ),
            Error::NoSession => (
                Reason::PermissionDenied,
                "Only a signed-in user has a session to end. To end an API key, revoke it.".to_owned(),
            ),
            Error::UserNotFound => (
                Reason::UserNotFound,
                "There is no such user here. List the members with GET /api/v1/tenants/{tenant}/users.".to_owned(),
            ),
            Error::InvitationRequired => (
                Reason::InvitationRequired,
                "This address signs in elsewhere already, so its owner has to agree. Send an invitation with POST /api/v1/tenants/{tenant}/users/invite.".to_owned(),
            ),
            Error::InvitationNotFound => (
                Reason::InvitationNotFound,
                "There is no such invitation: it may have been used, revoked, or replaced by a newer one, or have expired. Ask whoever sent it for a new one.".to_owned(),
            ),
            Error::InvitationExists => (
                Reason::InvitationExists,
                "This address has a pending invitation. Send that one again with POST /api/v1/tenants/{tenant}/users/invitations/{invitation}:resend, or revoke it.".to_owned(),
            ),
            Error::InvitationForAnother => (
                Reason::InvitationForAnother,
                "This invitation is for another address than the one that is signed in. Sign in with the address that the mail came to, or sign out and open the link again.".to_owned(),
            ),
            Error::SignInToAccept => (
                Reason::Unauthenticated,
                "This address signs in already. Sign in with it, then accept the invitation with that bearer token.".to_owned(),
            ),
            Error::MailOff => (
                Reason::MailOff,
                "This installation sends no mail, and the link of an invitation goes by mail alone. Ask an operator to set TENANTRY_MAIL_URL.".to_owned(),
            ),
            Error::LimitReached(what) => (Reason::LimitReached, what),
            Error::ApiKeyNotFound => (
                Reason::ApiKeyNotFound,
                "There is no such API key here. List them with GET /api/v1/tenants/{tenant}/api-keys.".to_owned(),
            ),
            Error::MemberExists => (
                Reason::MemberExists,
                "The user is a member of this tenant already.".to_owned(),
            ),
            Error::OperatorExists => (
                Reason::OperatorExists,
                "The user is an operator already.".to_owned(),
            ),
            Error::LastOwner => (
                Reason::LastOwner,
                "This is the tenant's last owner. Add another owner first.".to_owned(),
            ),
            Error::Grant(what) => (
                Reason::GrantExceedsOwn,
                format!("Nobody gives or takes more than they hold, and you don't hold all of {what}. Choose less, or ask someone who holds it."),
            ),
        };
        Self::new(reason, message)
    }
}

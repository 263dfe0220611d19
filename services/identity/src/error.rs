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
    #[error("an address that isn't the tenant's to add")]
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
    #[error("no such role")]
    RoleNotFound,
    #[error("a role of that key exists")]
    RoleExists,
    #[error("someone has the role")]
    RoleInUse,
    #[error("a built-in role")]
    BuiltInRole,
    #[error("the member's last role")]
    LastRole,
    #[error("another etag")]
    EtagMismatch,
    #[error("no such identity provider")]
    IdentityProviderNotFound,
    #[error("an identity provider already")]
    IdentityProviderExists,
    #[error("as many identity providers as there may be")]
    TooManyProviders,
    #[error("too many external sign-ins began")]
    TooManyStarts,
    #[error("nobody signs in there like that")]
    NoSignInHere,
    #[error("the external sign-in failed")]
    SignInFailed,
    #[error("the provider lets in others")]
    NotLetIn,
    #[error("no such API key")]
    ApiKeyNotFound,
    #[error("the API key was revoked or has expired")]
    ApiKeyEnded,
    #[error("no such service account")]
    ServiceAccountNotFound,
    #[error("a service account of that name already")]
    ServiceAccountExists,
    #[error("no such operator")]
    OperatorNotFound,
    #[error("the last operator")]
    LastOperator,
    #[error("another member's username")]
    UsernameTaken,
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
    #[error("too many failed sign-ins: locked for {0} ms")]
    SignInLocked(i64),
    #[error("the password until now is another")]
    WrongPassword,
    #[error("the reset token is wrong, expired or used")]
    ResetToken,
    #[error("too many links asked for from one network")]
    TooManyLinks,
    #[error("too many links wait to be sent")]
    LinksFull,
    #[error("the session reaches one tenant or one project alone")]
    SignInBound,
    #[error("too many sign-ups: none for {0} ms")]
    SignUpLimit(i64),
    #[error("no such session")]
    SessionNotFound,
    #[error("signing or hashing failed: {0}")]
    Crypto(String),
    #[error(transparent)]
    Store(tenantry_store::Error),
}

impl From<tenantry_store::Error> for Error {
    fn from(error: tenantry_store::Error) -> Self {
        match &error {
            tenantry_store::Error::Constraint(name) => match name.as_str() {
                // The place was held for too long, and given back meanwhile.
                "seat_changes_pkey" => Self::Refused(Refusal::unavailable()),
                "memberships_pkey" => Self::MemberExists,
                "memberships_username" => Self::UsernameTaken,
                "memberships_user" => Self::UserNotFound,
                "identity_providers_client" => Self::IdentityProviderExists,
                "invitations_open" => Self::InvitationExists,
                "roles_pkey" => Self::RoleExists,
                "service_accounts_name" => Self::ServiceAccountExists,
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
            Error::LinksFull => {
                return Self::overloaded(
                    "Too many people ask for links at once. Wait a second, then try again.",
                );
            }
            Error::SignInLocked(wait_ms) => {
                let seconds = wait_ms.div_euclid(1000).saturating_add(1);
                let mut refusal = Self::new(
                    Reason::SignInLocked,
                    format!("Too many failed sign-ins. Wait {seconds} s, then try again, or have a link sent with POST /api/v1/auth/password:forgot."),
                );
                refusal.retry_after_ms = Some(u32::try_from(seconds * 1000).unwrap_or(u32::MAX));
                return refusal;
            }
            Error::SignUpLimit(wait_ms) => {
                let minutes = wait_ms.div_euclid(60_000).saturating_add(1);
                let mut refusal = Self::new(
                    Reason::SignUpLimitReached,
                    format!("You signed up for as many organizations, or tried as often, as one may in a day. Wait {minutes} minutes, or ask the people who run the platform."),
                );
                refusal.retry_after_ms = Some(u32::try_from(wait_ms).unwrap_or(u32::MAX));
                return refusal;
            }
            Error::TooManyGuesses => {
                let mut refusal = Self::overloaded("Too many wrong links. Wait a minute, then try again with the whole link of the newest mail.");
                refusal.retry_after_ms = Some(60_000);
                return refusal;
            }
            Error::TooManyLinks => {
                let mut refusal = Self::overloaded("Too many links were asked for from your network. Wait a minute, then try again.");
                refusal.retry_after_ms = Some(60_000);
                return refusal;
            }
            Error::TooManyStarts => {
                let mut refusal = Self::overloaded("Too many sign-ins began at this address. Wait a minute, then try again.");
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
            Error::WrongPassword => (
                Reason::BadCredentials,
                "`current_password` isn't your password. Check it, or have a link sent with POST /api/v1/auth/password:forgot."
                    .to_owned(),
            ),
            Error::ResetToken => (
                Reason::ResetTokenInvalid,
                "The link is wrong, expired, used or replaced by a newer one. Have another sent with POST /api/v1/auth/password:forgot."
                    .to_owned(),
            ),
            Error::SessionNotFound => (
                Reason::SessionNotFound,
                "You have no such session, or it has ended. List yours with GET /api/v1/auth/sessions.".to_owned(),
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
            Error::SignInBound => (
                Reason::SignInBound,
                "What you signed in with reaches one organization, or those of one project, alone. Choose a password of your own by the link that POST /api/v1/auth/password:forgot sends to your address, sign in with it, and try again.".to_owned(),
            ),
            Error::NoSession => (
                Reason::PermissionDenied,
                "This is for people who are signed in, not for programs. To end an API key, revoke it.".to_owned(),
            ),
            Error::UserNotFound => (
                Reason::UserNotFound,
                "There is no such user here. List the members with GET /api/v1/tenants/{tenant}/users.".to_owned(),
            ),
            Error::InvitationRequired => (
                Reason::InvitationRequired,
                "This address isn't yours to add: users of organizations above or below are, and new addresses in a verified domain of this organization. Ask its owner with an invitation: POST /api/v1/tenants/{tenant}/users/invite.".to_owned(),
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
            Error::RoleNotFound => (
                Reason::RoleNotFound,
                "There is no such role here. List the roles with GET /api/v1/tenants/{tenant}/roles.".to_owned(),
            ),
            Error::RoleExists => (
                Reason::RoleExists,
                "The tenant has a role of this key already, or it is that of a built-in role. Choose another key.".to_owned(),
            ),
            Error::RoleInUse => (
                Reason::RoleInUse,
                "Members or pending invitations have this role, or an identity provider gives it. Give them another and take this one away first.".to_owned(),
            ),
            Error::BuiltInRole => {
                return Self::field("role", "is built in and can't be changed; define a role of the tenant instead");
            }
            Error::LastRole => (
                Reason::LastRole,
                "This is the member's last role. Give another first, or remove the member.".to_owned(),
            ),
            Error::EtagMismatch => (
                Reason::EtagMismatch,
                "It was changed since you read it. Read it again, decide again, and send its new etag.".to_owned(),
            ),
            Error::IdentityProviderNotFound => (
                Reason::IdentityProviderNotFound,
                "There is no such identity provider here. List them with GET /api/v1/tenants/{tenant}/identity-providers.".to_owned(),
            ),
            Error::IdentityProviderExists => (
                Reason::IdentityProviderExists,
                "There is an identity provider of this issuer and client id already. Change that one.".to_owned(),
            ),
            Error::TooManyProviders => (
                Reason::LimitReached,
                format!("There are {} identity providers already, which is the most. Remove one first.", crate::domain::identity_provider::MOST),
            ),
            Error::NoSignInHere => (
                Reason::ExternalSignInFailed,
                "Nobody signs in here like that. Check the tenant, the provider and that the page is one of its redirect_uris, or sign in in another way.".to_owned(),
            ),
            Error::SignInFailed => (
                Reason::ExternalSignInFailed,
                "The sign-in didn't succeed. Begin it again; if it goes on failing, ask whoever manages the identity provider.".to_owned(),
            ),
            Error::NotLetIn => (
                Reason::ExternalSignInFailed,
                "The identity provider knows you by no verified address that is let in here. Sign in there as someone else, or ask whoever manages the tenant.".to_owned(),
            ),
            Error::ApiKeyNotFound => (
                Reason::ApiKeyNotFound,
                "There is no such API key here. List them with GET /api/v1/tenants/{tenant}/api-keys.".to_owned(),
            ),
            Error::ApiKeyEnded => (
                Reason::ApiKeyEnded,
                "The API key was revoked or has expired, so it gets no new secret. Make a new key.".to_owned(),
            ),
            Error::ServiceAccountNotFound => (
                Reason::ServiceAccountNotFound,
                "There is no such service account here, or it is disabled. List them with GET /api/v1/tenants/{tenant}/service-accounts."
                    .to_owned(),
            ),
            Error::ServiceAccountExists => (
                Reason::ServiceAccountExists,
                "A service account of that name exists in this tenant. Choose another name.".to_owned(),
            ),
            Error::OperatorNotFound => (
                Reason::OperatorNotFound,
                "There is no such operator. List them with GET /api/v1/operators.".to_owned(),
            ),
            Error::LastOperator => (
                Reason::LastOperator,
                "This is the last operator who can manage operators. Give another one platform.operators.manage first."
                    .to_owned(),
            ),
            Error::UsernameTaken => (
                Reason::UsernameTaken,
                "Another member of this tenant has that username. Choose another one.".to_owned(),
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

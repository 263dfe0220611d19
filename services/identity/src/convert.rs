//! Between the contract's messages and the domain.

use tenantry_core::role::Role as BuiltIn;
use tenantry_core::{Permission, Permissions, Refusal, SessionId, TenantId};
use tenantry_proto::identity::v1 as wire;
use tenantry_proto::internal::identity::v1 as internal;
use tenantry_rpc::convert::timestamp;
use tenantry_rpc::keys::PublicKey;
use tenantry_rpc::tenants::TenantEntry;

use crate::app::accept::Offer;
use crate::app::api_keys::Made;
use crate::app::external_sign_in::Started;
use crate::app::sign_in::{Caller, Pair};
use crate::domain::api_key::ApiKey;
use crate::domain::identity_provider::{IdentityProvider, Patch};
use crate::domain::invitation::{Invitation, State};
use crate::domain::member::{Member, UserMembership};
use crate::domain::operator::Operator;
use crate::domain::role::{Role, RoleKey};
use crate::domain::service_account::ServiceAccount;
use crate::domain::session::{ACCESS_SECONDS, Begun};
use crate::domain::transfer::{Outcome, Verdict};
use tenantry_core::page::Page;

pub(crate) fn member(member: Member) -> wire::Member {
    wire::Member {
        id: member.user_id.to_string(),
        tenant_id: member.tenant_id.to_string(),
        email: member.email,
        name: member.name,
        roles: role_names(&member.roles),
        created_at: Some(timestamp(member.created_at)),
        username: member.username.unwrap_or_default(),
    }
}

pub(crate) fn transfer_result(outcome: Outcome) -> wire::TransferResult {
    let mut result = wire::TransferResult {
        user: outcome.user.to_string(),
        outcome: outcome.verdict.name().to_owned(),
        ..Default::default()
    };
    match outcome.verdict {
        Verdict::Moved { roles, needs_reset } => {
            result.roles = role_names(&roles);
            result.needs_password_reset = needs_reset;
        }
        Verdict::AlreadyMember => {}
        Verdict::Refused { reason, message } => {
            result.reason = reason;
            result.message = message;
        }
    }
    result
}

pub(crate) fn user_membership(
    (membership, tenant): (UserMembership, TenantEntry),
) -> wire::UserMembership {
    wire::UserMembership {
        tenant_id: membership.tenant_id.to_string(),
        tenant_slug: tenant.slug.to_string(),
        parent_id: tenant.parent.map(|id| id.to_string()).unwrap_or_default(),
        roles: role_names(&membership.roles),
        created_at: Some(timestamp(membership.created_at)),
    }
}

pub(crate) fn invitation(invitation: Invitation) -> wire::Invitation {
    let state = invitation.state(tenantry_core::clock::now());
    wire::Invitation {
        id: invitation.id.to_string(),
        tenant_id: invitation.tenant_id.to_string(),
        email: invitation.email,
        roles: role_names(&invitation.roles),
        status: state.name().to_owned(),
        invited_by: invitation.invited_by_email,
        created_at: Some(timestamp(invitation.created_at)),
        expires_at: Some(timestamp(invitation.expires_at)),
        sent_at: Some(timestamp(invitation.sent_at)),
        times_sent: invitation.times_sent,
        accepted_at: invitation.accepted_at.map(timestamp),
        revoked_at: match state {
            State::Revoked => invitation.revoked_at.map(timestamp),
            State::Pending | State::Accepted | State::Expired => None,
        },
        mail_state: invitation.mail.name().to_owned(),
        mail_state_at: invitation.mail_at.map(timestamp),
    }
}

pub(crate) fn offer(offer: Offer) -> wire::InvitationOffer {
    wire::InvitationOffer {
        tenant_name: offer.tenant_name,
        roles: role_names(&offer.invitation.roles),
        email: offer.invitation.masked_email(),
        expires_at: Some(timestamp(offer.invitation.expires_at)),
        needs_sign_in: offer.needs_sign_in,
    }
}

fn role_names(roles: &[RoleKey]) -> Vec<String> {
    roles.iter().map(|role| role.as_str().to_owned()).collect()
}

pub(crate) fn role(role: Role) -> wire::Role {
    wire::Role {
        etag: role.etag(),
        built_in: role.own.is_none(),
        created_at: role.own.as_ref().map(|own| timestamp(own.created_at)),
        updated_at: role.own.as_ref().map(|own| timestamp(own.updated_at)),
        key: role.key.as_str().to_owned(),
        tenant_id: role.tenant_id.to_string(),
        name: role.name,
        description: role.description,
        permissions: role.grants.permissions.names(),
        inherited_permissions: role.grants.inherited.names(),
    }
}

pub(crate) fn api_key(key: ApiKey) -> wire::ApiKey {
    wire::ApiKey {
        id: key.id.to_string(),
        tenant_id: if key.tenant_id.is_platform() {
            String::new()
        } else {
            key.tenant_id.to_string()
        },
        name: key.name,
        prefix: key.prefix,
        permissions: key.permissions.names(),
        created_at: Some(timestamp(key.created_at)),
        expires_at: key.expires_at.map(timestamp),
        revoked_at: key.revoked_at.map(timestamp),
        rotated_at: key.rotated_at.map(timestamp),
        previous_secret_expires_at: key.previous_until.map(timestamp),
        last_used_at: key.rate.last_used_at.map(timestamp),
        requests_last_hour: key.rate.last_hour,
        requests_last_day: key.rate.last_day,
        service_account_id: key
            .service_account
            .map(|id| id.to_string())
            .unwrap_or_default(),
    }
}

pub(crate) fn service_account(account: ServiceAccount) -> wire::ServiceAccount {
    wire::ServiceAccount {
        id: account.id.to_string(),
        tenant_id: account.tenant_id.to_string(),
        name: account.name,
        permissions: account.permissions.names(),
        disabled: account.disabled,
        created_at: Some(timestamp(account.created_at)),
        updated_at: Some(timestamp(account.updated_at)),
    }
}

pub(crate) fn api_keys(page: Page<ApiKey>) -> wire::ListApiKeysResponse {
    wire::ListApiKeysResponse {
        api_keys: page.items.into_iter().map(api_key).collect(),
        next_page_token: page.next_page_token,
    }
}

pub(crate) fn made(made: Made) -> wire::CreateApiKeyResponse {
    let reason = match made.secret {
        Some(_) => "",
        None => tenantry_core::Reason::SecretAlreadyShown.word(),
    };
    wire::CreateApiKeyResponse {
        api_key: Some(api_key(made.key)),
        secret: made.secret.unwrap_or_default(),
        reason: reason.to_owned(),
    }
}

pub(crate) fn operator(operator: Operator) -> wire::Operator {
    wire::Operator {
        id: operator.user_id.to_string(),
        email: operator.email,
        name: operator.name,
        permissions: operator.permissions.names(),
        created_at: Some(timestamp(operator.created_at)),
    }
}

pub(crate) fn identity_provider(provider: IdentityProvider) -> wire::IdentityProvider {
    let etag = provider.etag();
    wire::IdentityProvider {
        id: provider.id.to_string(),
        tenant_id: if provider.tenant_id.is_platform() {
            String::new()
        } else {
            provider.tenant_id.to_string()
        },
        project: provider.project,
        name: provider.name,
        issuer: provider.issuer,
        client_id: provider.client_id,
        has_client_secret: provider.has_client_secret,
        scopes: provider.scopes,
        redirect_uris: provider.redirect_uris,
        email_domains: provider.email_domains,
        just_in_time_roles: role_names(&provider.just_in_time_roles),
        enabled: provider.enabled,
        created_at: Some(timestamp(provider.created_at)),
        updated_at: Some(timestamp(provider.updated_at)),
        etag,
    }
}

/// Every field of a new provider, so that what is missing is refused as what is wrong.
pub(crate) fn new_identity_provider(message: wire::CreateIdentityProviderRequest) -> Patch {
    Patch {
        name: Some(message.name),
        issuer: Some(message.issuer),
        client_id: Some(message.client_id),
        scopes: Some(message.scopes),
        redirect_uris: Some(message.redirect_uris),
        email_domains: Some(message.email_domains),
        just_in_time_roles: Some(message.just_in_time_roles),
        enabled: Some(!message.disabled),
    }
}

/// The fields that an update sets, and the client's new secret where it sets that.
pub(crate) fn identity_provider_patch(
    mut message: wire::UpdateIdentityProviderRequest,
) -> Result<(Patch, Option<String>), Refusal> {
    const PATHS: &[&str] = &[
        "name",
        "issuer",
        "client_id",
        "client_secret",
        "scopes",
        "redirect_uris",
        "email_domains",
        "just_in_time_roles",
        "enabled",
    ];
    let mask = message.update_mask.take().map(|mask| mask.paths);
    let mask = mask.filter(|paths| !paths.is_empty());
    let unknown = mask
        .iter()
        .flatten()
        .find(|path| !PATHS.contains(&path.as_str()));
    if let Some(unknown) = unknown {
        return Err(Refusal::field(
            "update_mask",
            format!(
                "names {unknown:?}, which isn't a field that can be updated; these can: {}",
                PATHS.join(", ")
            ),
        ));
    }
    let named = |path: &str, carried: bool| match &mask {
        None => carried,
        Some(paths) => paths.iter().any(|named| named == path),
    };
    let text = |path: &str, carried: Option<String>| {
        named(path, carried.is_some()).then(|| carried.unwrap_or_default())
    };
    let list =
        |path: &str, carried: Vec<String>| named(path, !carried.is_empty()).then_some(carried);
    let patch = Patch {
        name: text("name", message.name),
        issuer: text("issuer", message.issuer),
        client_id: text("client_id", message.client_id),
        scopes: list("scopes", message.scopes),
        redirect_uris: list("redirect_uris", message.redirect_uris),
        email_domains: list("email_domains", message.email_domains),
        just_in_time_roles: list("just_in_time_roles", message.just_in_time_roles),
        enabled: named("enabled", message.enabled.is_some())
            .then(|| message.enabled.unwrap_or_default()),
    };
    Ok((patch, text("client_secret", message.client_secret)))
}

pub(crate) fn external_sign_in(started: Started) -> wire::ExternalSignIn {
    wire::ExternalSignIn {
        authorization_url: started.authorization_url,
        state: started.handed.state,
        holder_secret: started.handed.holder_secret,
    }
}

pub(crate) fn pair(pair: Pair) -> wire::TokenPair {
    wire::TokenPair {
        access_token: pair.access,
        refresh_token: pair.refresh,
        token_type: "Bearer".to_owned(),
        expires_in: ACCESS_SECONDS,
    }
}

pub(crate) fn session(session: Begun, current: SessionId) -> wire::Session {
    wire::Session {
        current: session.id == current,
        id: session.id.to_string(),
        tenant_id: session
            .tenant_id
            .map(|id| id.to_string())
            .unwrap_or_default(),
        ip_address: session.ip,
        user_agent: session.user_agent,
        created_at: Some(timestamp(session.created_at)),
        refreshed_at: Some(timestamp(session.refreshed_at)),
        expires_at: Some(timestamp(session.expires_at)),
    }
}

pub(crate) fn caller(ctx: &tenantry_core::RequestContext, caller: Caller) -> wire::Caller {
    wire::Caller {
        kind: ctx.principal.kind.name().to_owned(),
        id: ctx.principal.id.to_string(),
        email: ctx.principal.name.clone(),
        name: caller.name,
        tenant_id: caller
            .tenant
            .map(|id: TenantId| id.to_string())
            .unwrap_or_default(),
        permissions: ctx.permissions.names(),
        memberships: caller
            .memberships
            .into_iter()
            .map(|(membership, slug)| wire::CallerMembership {
                tenant_id: membership.tenant.to_string(),
                tenant_slug: slug,
                roles: membership
                    .roles
                    .iter()
                    .map(|role| role.as_str().to_owned())
                    .collect(),
            })
            .collect(),
    }
}

pub(crate) fn permission(permission: Permission) -> wire::Permission {
    let holders = BuiltIn::ALL.iter().map(|role| wire::PermissionHolder {
        role: role.name().to_owned(),
        own: role.permissions().contains(permission),
        inherited: role.inherited().contains(permission),
    });
    wire::Permission {
        name: permission.name().to_owned(),
        description: permission.description().to_owned(),
        platform: Permissions::PLATFORM.contains(permission),
        roles: holders.filter(|held| held.own || held.inherited).collect(),
    }
}

pub(crate) fn permission_answer(
    (asked, allowed): (internal::PermissionQuestion, bool),
) -> wire::PermissionAnswer {
    wire::PermissionAnswer {
        principal_kind: asked.principal_kind,
        principal_id: asked.principal_id,
        permission: asked.permission,
        allowed,
    }
}

pub(crate) fn jwk(key: &PublicKey) -> wire::Jwk {
    wire::Jwk {
        kty: "OKP".to_owned(),
        crv: "Ed25519".to_owned(),
        x: key.x.clone(),
        kid: key.kid.clone(),
        alg: "EdDSA".to_owned(),
        r#use: "sig".to_owned(),
    }
}

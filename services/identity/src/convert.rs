//! Between the contract's messages and the domain.

use tenantry_core::TenantId;
use tenantry_core::role::Role;
use tenantry_proto::identity::v1 as wire;
use tenantry_proto::internal::identity::v1 as internal;
use tenantry_rpc::convert::timestamp;
use tenantry_rpc::keys::PublicKey;

use crate::app::accept::Offer;
use crate::app::api_keys::Made;
use crate::app::sign_in::{Caller, Pair};
use crate::domain::api_key::ApiKey;
use crate::domain::invitation::{Invitation, State};
use crate::domain::member::Member;
use crate::domain::operator::Operator;
use crate::domain::session::ACCESS_SECONDS;

pub(crate) fn member(member: Member) -> wire::Member {
    wire::Member {
        id: member.user_id.to_string(),
        tenant_id: member.tenant_id.to_string(),
        email: member.email,
        name: member.name,
        roles: role_names(&member.roles),
        created_at: Some(timestamp(member.created_at)),
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

fn role_names(roles: &[Role]) -> Vec<String> {
    roles.iter().map(|role| role.name().to_owned()).collect()
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

pub(crate) fn pair(pair: Pair) -> wire::TokenPair {
    wire::TokenPair {
        access_token: pair.access,
        refresh_token: pair.refresh,
        token_type: "Bearer".to_owned(),
        expires_in: ACCESS_SECONDS,
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
                    .map(|role| role.name().to_owned())
                    .collect(),
            })
            .collect(),
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

//! The second golden: which built-in roles have each permission, and what that means for each RPC in a tenant, in its
//! child and in its parent. Rendered from the rules, and proved by calls.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Result, bail};
use serde_json::{Value, json};
use tenantry_core::Permission as P;
use tenantry_core::role::Role;
use tenantry_testkit::fleet::{Fleet, sign_in};
use tonic::transport::Channel;

use crate::matrix::{Class, rows};
use crate::support::dynamic::{gateway_channel, native};
use crate::support::world::{PASSWORD, add_user, create_tenant, text};
use crate::support::{fleet, unique};

/// What each RPC that acts in a tenant needs there; nothing where it is about the caller.
const NEEDS: &[(&str, Option<P>)] = &[
    ("audit.v1.AuditEventService/GetEvent", Some(P::AuditRead)),
    ("audit.v1.AuditEventService/ListEvents", Some(P::AuditRead)),
    (
        "audit.v1.AuditEventService/RecordEvents",
        Some(P::AuditRecord),
    ),
    ("audit.v1.AuditEventService/TailEvents", Some(P::AuditRead)),
    (
        "audit.v1.AuditExportService/ExportEvents",
        Some(P::AuditRead),
    ),
    (
        "audit.v1.AuditLogService/GetLogCheckpoint",
        Some(P::AuditRead),
    ),
    ("audit.v1.AuditLogService/GetLogProof", Some(P::AuditRead)),
    ("audit.v1.AuditLogService/GetLogTile", Some(P::AuditRead)),
    (
        "identity.v1.ApiKeyService/CreateApiKey",
        Some(P::ApiKeysManage),
    ),
    ("identity.v1.ApiKeyService/GetApiKey", Some(P::ApiKeysRead)),
    (
        "identity.v1.ApiKeyService/ListApiKeys",
        Some(P::ApiKeysRead),
    ),
    (
        "identity.v1.ApiKeyService/RevokeApiKey",
        Some(P::ApiKeysManage),
    ),
    (
        "identity.v1.ApiKeyService/RotateApiKey",
        Some(P::ApiKeysManage),
    ),
    (
        "identity.v1.IdentityProviderService/CreateIdentityProvider",
        Some(P::IdentityProvidersManage),
    ),
    (
        "identity.v1.IdentityProviderService/DeleteIdentityProvider",
        Some(P::IdentityProvidersManage),
    ),
    (
        "identity.v1.IdentityProviderService/GetIdentityProvider",
        Some(P::IdentityProvidersRead),
    ),
    (
        "identity.v1.IdentityProviderService/ListIdentityProviders",
        Some(P::IdentityProvidersRead),
    ),
    (
        "identity.v1.IdentityProviderService/UpdateIdentityProvider",
        Some(P::IdentityProvidersManage),
    ),
    (
        "identity.v1.InvitationService/GetInvitation",
        Some(P::MembersRead),
    ),
    (
        "identity.v1.InvitationService/InviteMember",
        Some(P::MembersManage),
    ),
    (
        "identity.v1.InvitationService/ListInvitations",
        Some(P::MembersRead),
    ),
    (
        "identity.v1.InvitationService/ResendInvitation",
        Some(P::MembersManage),
    ),
    (
        "identity.v1.InvitationService/RevokeInvitation",
        Some(P::MembersManage),
    ),
    (
        "identity.v1.MemberRoleService/AddMemberRole",
        Some(P::MembersManage),
    ),
    (
        "identity.v1.MemberRoleService/ListMemberRoles",
        Some(P::MembersRead),
    ),
    (
        "identity.v1.MemberRoleService/RemoveMemberRole",
        Some(P::MembersManage),
    ),
    (
        "identity.v1.MemberService/AddMember",
        Some(P::MembersManage),
    ),
    (
        "identity.v1.MemberService/CreateMember",
        Some(P::MembersManage),
    ),
    ("identity.v1.MemberService/GetMember", Some(P::MembersRead)),
    (
        "identity.v1.MemberService/ListMembers",
        Some(P::MembersRead),
    ),
    ("identity.v1.MemberService/ListUserMemberships", None),
    (
        "identity.v1.MemberService/RemoveMember",
        Some(P::MembersManage),
    ),
    (
        "identity.v1.MemberService/TransferMembers",
        Some(P::MembersManage),
    ),
    (
        "identity.v1.MemberService/UpdateMember",
        Some(P::MembersManage),
    ),
    ("identity.v1.PermissionService/CheckPermissions", None),
    ("identity.v1.RoleService/CreateRole", Some(P::RolesManage)),
    ("identity.v1.RoleService/DeleteRole", Some(P::RolesManage)),
    ("identity.v1.RoleService/GetRole", Some(P::RolesRead)),
    ("identity.v1.RoleService/ListRoles", Some(P::RolesRead)),
    ("identity.v1.RoleService/UpdateRole", Some(P::RolesManage)),
    (
        "identity.v1.ServiceAccountService/CreateServiceAccount",
        Some(P::ApiKeysManage),
    ),
    (
        "identity.v1.ServiceAccountService/DeleteServiceAccount",
        Some(P::ApiKeysManage),
    ),
    (
        "identity.v1.ServiceAccountService/GetServiceAccount",
        Some(P::ApiKeysRead),
    ),
    (
        "identity.v1.ServiceAccountService/ListServiceAccounts",
        Some(P::ApiKeysRead),
    ),
    (
        "identity.v1.ServiceAccountService/UpdateServiceAccount",
        Some(P::ApiKeysManage),
    ),
    ("quota.v1.HealthService/GetTenantHealth", Some(P::UsageRead)),
    (
        "quota.v1.HealthService/GetTenantMetrics",
        Some(P::UsageRead),
    ),
    ("quota.v1.LimitService/ListQuotas", Some(P::UsageRead)),
    (
        "quota.v1.LimitService/OverrideLimit",
        Some(P::TenantsManage),
    ),
    ("quota.v1.LimitService/ResetLimit", Some(P::TenantsManage)),
    (
        "quota.v1.QuotaService/BatchConsumeQuota",
        Some(P::UsageRecord),
    ),
    ("quota.v1.QuotaService/CheckQuota", Some(P::UsageRead)),
    ("quota.v1.QuotaService/ConsumeQuota", Some(P::UsageRecord)),
    ("quota.v1.QuotaService/ReleaseQuota", Some(P::UsageRecord)),
    ("quota.v1.QuotaService/SetGauge", Some(P::UsageRecord)),
    (
        "quota.v1.QuotaService/StreamConsumeQuota",
        Some(P::UsageRecord),
    ),
    (
        "quota.v1.ReservationService/CancelReservation",
        Some(P::UsageRecord),
    ),
    (
        "quota.v1.ReservationService/CommitReservation",
        Some(P::UsageRecord),
    ),
    (
        "quota.v1.ReservationService/CreateReservation",
        Some(P::UsageRecord),
    ),
    (
        "quota.v1.ReservationService/GetReservation",
        Some(P::UsageRead),
    ),
    (
        "quota.v1.UsageEventService/CorrectUsage",
        Some(P::TenantsManage),
    ),
    (
        "quota.v1.UsageEventService/RecordCloudEvents",
        Some(P::UsageRecord),
    ),
    (
        "quota.v1.UsageEventService/RecordUsageEvents",
        Some(P::UsageRecord),
    ),
    (
        "quota.v1.UsageEventService/StreamUsageEvents",
        Some(P::UsageRecord),
    ),
    ("quota.v1.UsageService/ExportUsage", Some(P::UsageRead)),
    ("quota.v1.UsageService/ForecastUsage", Some(P::UsageRead)),
    ("quota.v1.UsageService/GetUsage", Some(P::UsageRead)),
    ("quota.v1.UsageService/GetUsageSeries", Some(P::UsageRead)),
    ("quota.v1.UsageService/ListUsageLogs", Some(P::UsageRead)),
    (
        "registry.v1.DomainService/CreateDomain",
        Some(P::DomainsManage),
    ),
    (
        "registry.v1.DomainService/DeleteDomain",
        Some(P::DomainsManage),
    ),
    ("registry.v1.DomainService/GetDomain", Some(P::DomainsRead)),
    (
        "registry.v1.DomainService/ListDomains",
        Some(P::DomainsRead),
    ),
    (
        "registry.v1.DomainService/VerifyDomain",
        Some(P::DomainsManage),
    ),
    (
        "registry.v1.SubscriptionService/ChangePlan",
        Some(P::TenantsManage),
    ),
    (
        "registry.v1.SubscriptionService/PreviewPlanChange",
        Some(P::TenantsRead),
    ),
    (
        "registry.v1.TenantService/ArchiveTenant",
        Some(P::TenantsManage),
    ),
    (
        "registry.v1.TenantService/CreateTenant",
        Some(P::TenantsCreate),
    ),
    (
        "registry.v1.TenantService/DeleteTenant",
        Some(P::TenantsManage),
    ),
    ("registry.v1.TenantService/GetTenant", Some(P::TenantsRead)),
    (
        "registry.v1.TenantService/ListTenants",
        Some(P::TenantsRead),
    ),
    (
        "registry.v1.TenantService/MoveTenant",
        Some(P::TenantsManage),
    ),
    (
        "registry.v1.TenantService/PurgeTenant",
        Some(P::TenantsManage),
    ),
    (
        "registry.v1.TenantService/ResumeTenant",
        Some(P::TenantsManage),
    ),
    (
        "registry.v1.TenantService/SuspendTenant",
        Some(P::TenantsManage),
    ),
    (
        "registry.v1.TenantService/UndeleteTenant",
        Some(P::TenantsManage),
    ),
    (
        "registry.v1.TenantService/UpdateTenant",
        Some(P::TenantsUpdate),
    ),
    (
        "registry.v1.TenantService/WatchTenants",
        Some(P::TenantsRead),
    ),
];

/// Where a role of a tenant is tried.
#[derive(Clone, Copy, Debug)]
enum Place {
    Own,
    Child,
    Parent,
}

const PLACES: [Place; 3] = [Place::Own, Place::Child, Place::Parent];

fn allowed(role: Role, place: Place, needs: Option<P>) -> bool {
    let held = match place {
        Place::Own => role.permissions(),
        Place::Child => role.inherited(),
        Place::Parent => return false,
    };
    needs.map_or(!held.is_empty(), |needs| held.contains(needs))
}

/// The table as its golden file has it.
fn table() -> String {
    let line =
        |text: &mut String, name: &str, needs: Option<P>, of: &dyn Fn(Role, Place) -> bool| {
            let needs = needs.map_or("-", P::name);
            let _ = write!(text, "{name:<52} {needs:<28}");
            for role in Role::ALL {
                let places = match (of(*role, Place::Own), of(*role, Place::Child)) {
                    (true, true) => "own, inherited",
                    (true, false) => "own",
                    (false, true) => "inherited",
                    (false, false) => "-",
                };
                let _ = write!(text, " {places:<15}");
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        };
    let mut text = format!("{:<52} {:<28}", "permission or RPC", "needs");
    for role in Role::ALL {
        let _ = write!(text, " {:<15}", role.name());
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    for permission in P::ALL {
        let of = |role, place| allowed(role, place, Some(*permission));
        line(&mut text, permission.name(), Some(*permission), &of);
    }
    for (rpc, needs) in NEEDS {
        line(&mut text, rpc, *needs, &|role, place| {
            allowed(role, place, *needs)
        });
    }
    text
}

#[test]
fn the_roles_permissions_are_the_reviewed_ones() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("it/golden/roles.txt");
    if std::env::var_os("TENANTRY_GOLDEN").is_some() {
        std::fs::write(&path, table()).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        table(),
        expected,
        "if the new table is meant, run with TENANTRY_GOLDEN=write"
    );
}

#[test]
fn every_rpc_that_acts_in_a_tenant_says_what_it_needs() {
    let mut acting: Vec<_> = rows()
        .into_iter()
        .filter(|(_, class)| *class == Class::Tenant)
        .map(|(path, _)| path.trim_start_matches("/tenantry."))
        // A session is its user's, wherever it acts.
        .filter(|rpc| *rpc != "identity.v1.SessionService/RevokeSession")
        .collect();
    acting.sort_unstable();
    let said: Vec<_> = NEEDS.iter().map(|(rpc, _)| *rpc).collect();
    assert_eq!(said, acting, "NEEDS holds each of them, sorted");
}

/// A request that gets past the authorisation and no further: fields are missing, or the etag is another.
fn request(rpc: &str, tenant: &str) -> Value {
    let method = rpc.rsplit('/').next().unwrap_or_default();
    match method {
        "CreateTenant" => json!({"parent_id": tenant}),
        "TailEvents" => json!({"tenant": tenant, "from_index": "0"}),
        "ListTenants" | "WatchTenants" => json!({}),
        "ListUserMemberships" => json!({"user": "me"}),
        "ArchiveTenant" | "DeleteTenant" | "PurgeTenant" | "ResumeTenant" | "SuspendTenant"
        | "UndeleteTenant" => {
            json!({"tenant": tenant, "etag": "none"})
        }
        // Below itself, since only operators move to the top.
        "MoveTenant" => json!({"tenant": tenant, "new_parent": tenant, "etag": "none"}),
        _ => json!({"tenant": tenant}),
    }
}

async fn token_of(fleet: &Fleet, tenant: &str, role: Role) -> Result<String> {
    let email = format!("{}@example.com", unique("role"));
    add_user(&fleet.operator_rest()?, tenant, &email, role.name()).await?;
    let token = sign_in(&fleet.rest()?, &email, PASSWORD).await?;
    Ok(format!("Bearer {token}"))
}

/// Whether the call is refused for want of a right, and not for what it says.
async fn is_allowed(channel: &Channel, rpc: &str, tenant: &str, token: &str) -> Result<bool> {
    let path = format!("/tenantry.{rpc}");
    let headers = [("authorization", token), ("x-tenant-id", tenant)];
    let answer = native(channel, &path, &request(rpc, tenant), &headers).await?;
    let details = String::from_utf8_lossy(answer.status.details());
    Ok(match answer.status.code() {
        tonic::Code::PermissionDenied => false,
        tonic::Code::NotFound => !details.contains("TENANT_NOT_FOUND"),
        tonic::Code::Ok
        | tonic::Code::InvalidArgument
        | tonic::Code::FailedPrecondition
        | tonic::Code::Aborted => true,
        _ => bail!("{rpc}: {:?}", answer.status),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_built_in_role_may_call_what_the_table_says_and_nothing_else() -> Result<()> {
    let fleet = fleet().await?;
    let channel = gateway_channel(fleet).await?;
    let operator = fleet.operator_rest()?;
    let mut ids = Vec::new();
    for name in ["Parent", "Own", "Child"] {
        let parent = ids.last().cloned().unwrap_or_default();
        let body = json!({"name": unique(name), "parent_id": parent});
        ids.push(text(&create_tenant(&operator, body).await?, "id"));
    }
    let mut calls = 0;
    for role in Role::ALL {
        let token = token_of(fleet, &ids[1], *role).await?;
        for (rpc, needs) in NEEDS {
            for place in PLACES {
                let tenant = match place {
                    Place::Parent => &ids[0],
                    Place::Own => &ids[1],
                    Place::Child => &ids[2],
                };
                let answer = is_allowed(&channel, rpc, tenant, &token).await?;
                assert_eq!(
                    answer,
                    allowed(*role, place, *needs),
                    "{role}: {rpc}, {place:?}"
                );
                calls += 1;
            }
        }
    }
    println!("{calls} calls answered as the table says");
    Ok(())
}

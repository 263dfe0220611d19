//! The REST paths that callers rely on, and the RPC that answers each. A path is a promise: it may get others beside it, and
//! none is taken away. Aliases are bindings of the same RPC.

use tenantry_proto::methods;

const PROMISED: &[(&str, &str, &str)] = &[
    ("POST", "/tenants", "TenantService/CreateTenant"),
    ("GET", "/tenants", "TenantService/ListTenants"),
    ("GET", "/tenants/current", "TenantService/GetTenant"),
    ("GET", "/tenants/{tenant}", "TenantService/GetTenant"),
    ("PATCH", "/tenants/{tenant}", "TenantService/UpdateTenant"),
    ("PUT", "/tenants/{tenant}", "TenantService/UpdateTenant"),
    ("DELETE", "/tenants/{tenant}", "TenantService/DeleteTenant"),
    (
        "POST",
        "/tenants/{tenant}/status/active",
        "TenantService/ResumeTenant",
    ),
    (
        "POST",
        "/tenants/{tenant}/status/inactive",
        "TenantService/SuspendTenant",
    ),
    (
        "POST",
        "/tenants/{tenant}/status/suspended",
        "TenantService/SuspendTenant",
    ),
    (
        "POST",
        "/tenants/{tenant}/status/archived",
        "TenantService/ArchiveTenant",
    ),
    (
        "POST",
        "/tenants/{tenant}:undelete",
        "TenantService/UndeleteTenant",
    ),
    ("POST", "/tenants/{tenant}:move", "TenantService/MoveTenant"),
    ("GET", "/plans", "PlanService/ListPlans"),
    ("POST", "/plans", "PlanService/CreatePlan"),
    ("GET", "/plans/{plan}", "PlanService/GetPlan"),
    ("PATCH", "/plans/{plan}", "PlanService/UpdatePlan"),
    ("GET", "/projects", "ProjectService/ListProjects"),
    ("POST", "/projects", "ProjectService/CreateProject"),
    (
        "GET",
        "/tenants/{tenant}/domains",
        "DomainService/ListDomains",
    ),
    (
        "POST",
        "/tenants/{tenant}/domains",
        "DomainService/CreateDomain",
    ),
    (
        "POST",
        "/tenants/{tenant}/domains/{domain}:verify",
        "DomainService/VerifyDomain",
    ),
    (
        "DELETE",
        "/tenants/{tenant}/domains/{domain}",
        "DomainService/DeleteDomain",
    ),
    ("POST", "/auth/login", "AuthService/Login"),
    ("POST", "/auth/refresh", "AuthService/Refresh"),
    ("POST", "/auth/logout", "AuthService/Logout"),
    ("GET", "/auth/me", "AuthService/GetCaller"),
    (
        "GET",
        "/tenants/{tenant}/users",
        "MemberService/ListMembers",
    ),
    (
        "POST",
        "/tenants/{tenant}/users",
        "MemberService/CreateMember",
    ),
    (
        "GET",
        "/tenants/{tenant}/users/{user}",
        "MemberService/GetMember",
    ),
    (
        "PATCH",
        "/tenants/{tenant}/users/{user}",
        "MemberService/UpdateMember",
    ),
    (
        "POST",
        "/tenants/{tenant}/users/{user}",
        "MemberService/AddMember",
    ),
    (
        "DELETE",
        "/tenants/{tenant}/users/{user}",
        "MemberService/RemoveMember",
    ),
    (
        "GET",
        "/tenants/{tenant}/users/invitations",
        "InvitationService/ListInvitations",
    ),
    (
        "POST",
        "/tenants/{tenant}/users/invite",
        "InvitationService/InviteMember",
    ),
    (
        "POST",
        "/invitations/{token}:accept",
        "InvitationService/AcceptInvitation",
    ),
    (
        "POST",
        "/tenants/{tenant}/users:transfer",
        "MemberService/TransferMembers",
    ),
    (
        "GET",
        "/users/{user}/memberships",
        "MemberService/ListUserMemberships",
    ),
    ("GET", "/tenants/{tenant}/roles", "RoleService/ListRoles"),
    ("POST", "/tenants/{tenant}/roles", "RoleService/CreateRole"),
    (
        "GET",
        "/tenants/{tenant}/users/{user}/roles",
        "MemberRoleService/ListMemberRoles",
    ),
    (
        "POST",
        "/tenants/{tenant}/users/{user}/roles",
        "MemberRoleService/AddMemberRole",
    ),
    (
        "DELETE",
        "/tenants/{tenant}/users/{user}/roles/{role}",
        "MemberRoleService/RemoveMemberRole",
    ),
    (
        "GET",
        "/tenants/{tenant}/api-keys",
        "ApiKeyService/ListApiKeys",
    ),
    (
        "POST",
        "/tenants/{tenant}/api-keys",
        "ApiKeyService/CreateApiKey",
    ),
    (
        "DELETE",
        "/tenants/{tenant}/api-keys/{api_key}",
        "ApiKeyService/RevokeApiKey",
    ),
    (
        "POST",
        "/tenants/{tenant}/api-keys/{api_key}:rotate",
        "ApiKeyService/RotateApiKey",
    ),
    ("GET", "/organizations/current", "TenantService/GetTenant"),
    ("GET", "/organizations/{tenant}", "TenantService/GetTenant"),
    (
        "PATCH",
        "/organizations/{tenant}",
        "TenantService/UpdateTenant",
    ),
    (
        "PATCH",
        "/organizations/{tenant}/subscription",
        "SubscriptionService/ChangePlan",
    ),
    (
        "GET",
        "/organizations/{tenant}/members",
        "MemberService/ListMembers",
    ),
    (
        "DELETE",
        "/organizations/{tenant}/members/{user}",
        "MemberService/RemoveMember",
    ),
    (
        "POST",
        "/organizations/{tenant}/invite",
        "InvitationService/InviteMember",
    ),
    ("GET", "/tenants/{tenant}/quotas", "LimitService/ListQuotas"),
    (
        "GET",
        "/tenants/{tenant}/usage-quotas",
        "LimitService/ListQuotas",
    ),
    ("GET", "/tenant/limits", "LimitService/ListQuotas"),
    (
        "PATCH",
        "/tenants/{tenant}/limits",
        "LimitService/OverrideLimit",
    ),
    (
        "DELETE",
        "/tenants/{tenant}/limits/{resource_type}",
        "LimitService/ResetLimit",
    ),
    (
        "POST",
        "/tenants/{tenant}/quotas/check",
        "QuotaService/CheckQuota",
    ),
    (
        "POST",
        "/tenants/{tenant}/usage/increment",
        "QuotaService/ConsumeQuota",
    ),
    (
        "POST",
        "/tenants/{tenant}/usage:batchIncrement",
        "QuotaService/BatchConsumeQuota",
    ),
    (
        "POST",
        "/tenants/{tenant}/usage/release",
        "QuotaService/ReleaseQuota",
    ),
    (
        "PUT",
        "/tenants/{tenant}/gauges/{resource_type}",
        "QuotaService/SetGauge",
    ),
    (
        "POST",
        "/tenants/{tenant}/usage-events",
        "UsageEventService/RecordUsageEvents",
    ),
    (
        "POST",
        "/tenants/{tenant}/cloudevents",
        "UsageEventService/RecordCloudEvents",
    ),
    (
        "POST",
        "/tenants/{tenant}/usage-logs/{usage}:correct",
        "UsageEventService/CorrectUsage",
    ),
    (
        "POST",
        "/tenants/{tenant}/reservations",
        "ReservationService/CreateReservation",
    ),
    (
        "GET",
        "/tenants/{tenant}/reservations/{reservation}",
        "ReservationService/GetReservation",
    ),
    (
        "POST",
        "/tenants/{tenant}/reservations/{reservation}:commit",
        "ReservationService/CommitReservation",
    ),
    (
        "POST",
        "/tenants/{tenant}/reservations/{reservation}:cancel",
        "ReservationService/CancelReservation",
    ),
    (
        "GET",
        "/tenants/{tenant}/usage-logs",
        "UsageService/ListUsageLogs",
    ),
    ("GET", "/tenants/{tenant}/usage", "UsageService/GetUsage"),
    (
        "GET",
        "/organizations/{tenant}/usage",
        "UsageService/GetUsage",
    ),
    (
        "GET",
        "/tenants/{tenant}/metrics",
        "HealthService/GetTenantMetrics",
    ),
    (
        "GET",
        "/tenants/metrics",
        "HealthService/GetPlatformMetrics",
    ),
    (
        "GET",
        "/tenants/{tenant}/health",
        "HealthService/GetTenantHealth",
    ),
    (
        "GET",
        "/tenants/health-summary",
        "HealthService/ListTenantHealth",
    ),
    (
        "GET",
        "/tenants/{tenant}/audit-log",
        "AuditEventService/ListEvents",
    ),
    (
        "GET",
        "/tenants/{tenant}/audit-logs",
        "AuditEventService/ListEvents",
    ),
    (
        "GET",
        "/tenants/{tenant}/events",
        "AuditEventService/ListEvents",
    ),
    (
        "POST",
        "/tenants/{tenant}/events",
        "AuditEventService/RecordEvents",
    ),
    (
        "GET",
        "/tenants/audit-log/search",
        "AuditEventService/SearchEvents",
    ),
    (
        "GET",
        "/tenants/{tenant}/audit-log/{event}",
        "AuditEventService/GetEvent",
    ),
    (
        "GET",
        "/tenants/{tenant}/audit-log:tail",
        "AuditEventService/TailEvents",
    ),
    (
        "GET",
        "/tenants/{tenant}/audit-log:export",
        "AuditExportService/ExportEvents",
    ),
    (
        "GET",
        "/tenants/{tenant}/audit-log/proof",
        "AuditLogService/GetLogProof",
    ),
    (
        "GET",
        "/tenants/{tenant}/audit-log/checkpoint",
        "AuditLogService/GetLogCheckpoint",
    ),
];

#[test]
fn every_promised_path_is_answered_by_its_rpc() {
    for (verb, path, rpc) in PROMISED {
        let template = format!("/api/v1{path}");
        let found = methods::gateway().find(|method| {
            let mut bindings = method.bindings.iter();
            bindings.any(|binding| binding.method == *verb && binding.template == template)
        });
        let answered = found.map_or("", |method| method.path);
        assert!(
            answered.ends_with(&format!(".{rpc}")),
            "{verb} {template} is answered by {answered:?}, not by {rpc}"
        );
    }
}

//! Every RPC of the fleet and what its contract says about it, for code that treats RPCs alike: authorisation,
//! idempotency, routing, coverage tests.

include!(concat!(env!("OUT_DIR"), "/methods.rs"));

/// What the contract says about one RPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method {
    /// Full gRPC path, as `/tenantry.registry.v1.TenantService/GetTenant`.
    pub path: &'static str,
    /// Full name of the service, as `tenantry.registry.v1.TenantService`.
    pub service: &'static str,
    /// Name in the service, as `GetTenant`.
    pub name: &'static str,
    /// Full name of the request message.
    pub input: &'static str,
    /// Full name of the response message.
    pub output: &'static str,
    /// Whether only the fleet's own services may call it.
    pub internal: bool,
    /// Whether it changes nothing (`idempotency_level = NO_SIDE_EFFECTS`).
    pub read_only: bool,
    /// What the log calls the change; none for an RPC that changes nothing.
    pub audit: Option<Audit>,
    /// Whether its request carries `request_id`, by which a change is done once. In an RPC that changes nothing a field of that
    /// name is a filter.
    pub has_request_id: bool,
    /// Whether it answers with a stream.
    pub server_streaming: bool,
    /// Whether it is asked by a stream. One that is has no REST binding: a transcoder takes one request and gives its answer.
    pub client_streaming: bool,
    /// Its REST bindings; none for internal RPCs.
    pub bindings: &'static [Binding],
}

/// What the log calls a change, whether it happened or was denied or failed (`tenantry.options.v1.audit`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audit {
    /// What happens, as `tenant.updated`.
    pub action: &'static str,
    /// Type of what it happens to, as `tenant`.
    pub resource_type: &'static str,
    /// Number of the request's string field that names what it happens to, where one does.
    pub resource_id: Option<u32>,
    /// Whether one that happened is no event of its own, because the service counts them.
    pub counted: bool,
}

/// One REST binding of an RPC (`google.api.http`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// HTTP method, upper case.
    pub method: &'static str,
    /// Path template, as `/api/v1/tenants/{tenant}:undelete`.
    pub template: &'static str,
    /// `*` where the JSON body is the request, else empty.
    pub body: &'static str,
}

/// RPCs that need no credential, as full gRPC paths.
pub const PUBLIC_METHODS: &[&str] = &[
    "/tenantry.identity.v1.AuthService/GetJwks",
    "/tenantry.identity.v1.AuthService/Login",
    "/tenantry.identity.v1.AuthService/Refresh",
    "/tenantry.identity.v1.ExternalSignInService/FinishExternalSignIn",
    "/tenantry.identity.v1.ExternalSignInService/StartExternalSignIn",
    "/tenantry.identity.v1.InvitationService/AcceptInvitation",
    "/tenantry.identity.v1.InvitationService/GetInvitationOffer",
    "/tenantry.identity.v1.OperatorService/Bootstrap",
    "/tenantry.identity.v1.PasswordService/RequestPasswordReset",
    "/tenantry.identity.v1.PasswordService/ResetPassword",
    "/tenantry.identity.v1.ReadinessService/GetReadiness",
];

/// Of these, the ones that know their caller where a credential comes along: then it must be a good one.
pub const OPTIONAL_CREDENTIAL: &[&str] =
    &["/tenantry.identity.v1.InvitationService/AcceptInvitation"];

/// Mutations without `request_id`: repeating them is harmless, does nothing, or, for refresh, means theft.
pub const WITHOUT_REQUEST_ID: &[&str] = &[
    "/tenantry.identity.v1.AuthService/Login",
    "/tenantry.identity.v1.AuthService/Logout",
    "/tenantry.identity.v1.AuthService/Refresh",
    "/tenantry.identity.v1.ExternalSignInService/FinishExternalSignIn",
    "/tenantry.identity.v1.ExternalSignInService/StartExternalSignIn",
    "/tenantry.identity.v1.PasswordService/RequestPasswordReset",
];

/// RPCs that act in no tenant that there is: at a tenant's host they are of its project, and not of that tenant.
pub const WITHOUT_TENANT: &[&str] = &["/tenantry.identity.v1.OrganizationService/SignUp"];

/// Beginnings of the paths of RPCs that use none of a tenant's calls: whoever has used them all can still take away a leaked key, see
/// and change limits, and choose another plan. Uses that are told are counted as what they are.
pub const UNMETERED: &[&str] = &[
    "/tenantry.identity.v1.",
    "/tenantry.quota.v1.",
    "/tenantry.registry.v1.SubscriptionService/",
];

/// Words that the API's own paths use where a tenant's slug can stand: no tenant may take one. Sorted.
pub const RESERVED_SLUGS: &[&str] = RESERVED;

impl Method {
    /// Whether it needs no credential.
    #[must_use]
    pub fn is_public(&self) -> bool {
        PUBLIC_METHODS.contains(&self.path)
    }
}

/// Whether a request for this full gRPC path uses one of its tenant's calls.
#[must_use]
pub fn is_metered(path: &str) -> bool {
    !UNMETERED
        .iter()
        .any(|beginning| path.starts_with(beginning))
}

/// Every RPC of ours, sorted by path.
#[must_use]
pub fn all() -> &'static [Method] {
    ALL
}

/// Every RPC that the gateway routes.
pub fn gateway() -> impl Iterator<Item = &'static Method> {
    ALL.iter().filter(|method| !method.internal)
}

/// The RPC with this full gRPC path.
#[must_use]
pub fn find(path: &str) -> Option<&'static Method> {
    ALL.binary_search_by_key(&path, |method| method.path)
        .ok()
        .map(|index| &ALL[index])
}

/// Whether the RPC with this full gRPC path changes nothing; `false` for one that is not ours.
#[must_use]
pub fn is_read_only(path: &str) -> bool {
    find(path).is_some_and(|method| method.read_only)
}

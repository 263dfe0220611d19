//! Callers as Envoy passes them on, and what identity says of them.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use tenantry_core::{PrincipalKind, TenantId};
use tenantry_proto::envoy::service::auth::v3::DeniedHttpResponse;
use tonic::Status;
use uuid::Uuid;

/// A caller: its headers, as Envoy passes them on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Who {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) replica: usize,
}

impl Who {
    pub(crate) fn bearer(token: &str) -> Self {
        Self::default().with("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn key(secret: &str) -> Self {
        Self::default().with("x-api-key", secret)
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// In this tenant.
    pub(crate) fn at(self, tenant: TenantId) -> Self {
        self.with("x-tenant-id", &tenant.to_string())
    }

    /// Asked of another replica.
    pub(crate) fn of_replica(mut self, replica: usize) -> Self {
        self.replica = replica;
        self
    }
}

/// What an assertion says, as a service would read it.
#[derive(Clone, Debug)]
pub(crate) struct Assertion {
    pub(crate) token: String,
    pub(crate) kind: PrincipalKind,
    pub(crate) subject: Uuid,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) no_tenant: String,
    pub(crate) project: String,
    pub(crate) home: Option<TenantId>,
    pub(crate) permissions: tenantry_core::Permissions,
}

impl Assertion {
    pub(crate) fn read(token: String) -> Self {
        let payload = token.split('.').nth(1).unwrap();
        let payload = URL_SAFE_NO_PAD.decode(payload).unwrap();
        let claims: tenantry_rpc::assertion::Claims = serde_json::from_slice(&payload).unwrap();
        Self {
            token,
            kind: claims.kind,
            subject: claims.sub,
            tenant: claims.tenant,
            no_tenant: claims.no_tenant,
            project: claims.project,
            home: claims.home,
            permissions: claims.perms,
        }
    }
}

/// A denial as gRPC callers see it.
pub(crate) fn denial(denied: DeniedHttpResponse) -> Status {
    let headers: HashMap<String, String> = denied
        .headers
        .into_iter()
        .filter_map(|option| option.header)
        .map(|header| (header.key, header.value))
        .collect();
    let code: i32 = headers["grpc-status"].parse().unwrap();
    let details = STANDARD_NO_PAD
        .decode(&headers["grpc-status-details-bin"])
        .unwrap();
    Status::with_details(code.into(), headers["grpc-message"].clone(), details.into())
}

/// `ErrorInfo.reason` of a status.
pub(crate) fn reason(status: &Status) -> String {
    use prost::Message as _;
    use tenantry_proto::google::rpc;
    let whole = rpc::Status::decode(status.details()).unwrap();
    let info = whole
        .details
        .iter()
        .find(|any| any.type_url.ends_with("ErrorInfo"));
    rpc::ErrorInfo::decode(&*info.unwrap().value)
        .unwrap()
        .reason
}

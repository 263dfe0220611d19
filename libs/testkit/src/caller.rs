//! Who asks a service directly: claims as identity would make them, and the assertions that carry them.

use tenantry_core::{Permission, Permissions, PrincipalKind, TenantId, UserId};
use tenantry_rpc::assertion::{Claims, FLEET, GATEWAY, HEADER, LIFE_SECONDS};
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// An operator who holds every right of the platform, in no tenant.
#[must_use]
pub fn operator() -> Claims {
    Claims {
        perms: Permissions::PLATFORM,
        no_tenant: "none".to_owned(),
        ..person()
    }
}

/// A person who acts in a tenant with these permissions.
#[must_use]
pub fn member(tenant: TenantId, permissions: &[Permission]) -> Claims {
    Claims {
        tenant: Some(tenant),
        slug: "acme".to_owned(),
        home: Some(tenant),
        perms: Permissions::of(permissions),
        ..person()
    }
}

fn person() -> Claims {
    let now = tenantry_core::clock::now().as_second();
    Claims {
        iss: GATEWAY.to_owned(),
        aud: FLEET.to_owned(),
        iat: now,
        exp: now + LIFE_SECONDS,
        kind: PrincipalKind::User,
        sub: UserId::new().uuid(),
        name: "ada@example.com".to_owned(),
        ..Claims::of_service("", "")
    }
}

/// Puts an assertion on each call.
#[derive(Clone, Debug)]
pub struct Assertion(pub String);

impl Interceptor for Assertion {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let unfit = |_| Status::internal("the assertion doesn't fit a header");
        let assertion = self.0.parse().map_err(unfit)?;
        request.metadata_mut().insert(HEADER, assertion);
        Ok(request)
    }
}

//! Who asks: claims as identity would make them, and the assertions that carry them.

use tenantry_core::{Permission, Permissions, PrincipalKind, TenantId, UserId};
use tenantry_proto::registry::v1::Tenant;
use tenantry_rpc::assertion::{Claims, FLEET, GATEWAY, HEADER, LIFE_SECONDS};
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// An operator who holds both rights of the platform and names no tenant.
pub(crate) fn operator() -> Claims {
    Claims {
        perms: Permissions::PLATFORM,
        below: Permissions::PLATFORM,
        no_tenant: "none".to_owned(),
        ..person()
    }
}

/// A person who acts in a tenant, and below it who may make tenants there.
pub(crate) fn member(tenant: &Tenant, permissions: &[Permission]) -> Claims {
    let perms = Permissions::of(permissions);
    let reaches_down = perms.contains(Permission::TenantsCreate);
    let id: TenantId = tenant.id.parse().unwrap();
    Claims {
        tenant: Some(id),
        slug: tenant.slug.clone(),
        home: Some(id),
        perms,
        below: if reaches_down {
            perms
        } else {
            Permissions::NONE
        },
        ..person()
    }
}

/// All that someone may do in a tenant: every permission but the platform's.
pub(crate) fn all_of_a_tenant() -> Vec<Permission> {
    let all = Permission::ALL.iter().copied();
    all.filter(|permission| !Permissions::PLATFORM.contains(*permission))
        .collect()
}

/// A service of the fleet that calls registry.
pub(crate) fn service(name: &str) -> Claims {
    Claims::of_service(name, "registry")
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
        name: "someone@example.com".to_owned(),
        tenant: None,
        slug: String::new(),
        no_tenant: String::new(),
        project: String::new(),
        home: None,
        perms: Permissions::NONE,
        below: Permissions::NONE,
        credential_exp: None,
        credential: String::new(),
        on_behalf_of: None,
    }
}

/// Puts these assertions, usually one, on each call.
#[derive(Clone, Debug)]
pub(crate) struct Assertions(pub(crate) Vec<String>);

impl Interceptor for Assertions {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        for assertion in &self.0 {
            request
                .metadata_mut()
                .append(HEADER, assertion.parse().unwrap());
        }
        Ok(request)
    }
}

//! What the tests share: a registry to ask, callers to ask as, and a way to read refusals.

mod caller;
mod golden;
mod refused;
mod replica;
mod world;

pub(crate) use caller::{Assertions, member, operator, service};
pub(crate) use golden::assert_golden;
pub(crate) use refused::{fields, reason, why};
pub(crate) use replica::Replica;
pub(crate) use world::World;

use tenantry_proto::registry::v1::{CreateTenantRequest, Tenant, UpdateTenantRequest};

/// A create of a tenant of this name, and nothing else.
pub(crate) fn named(name: &str) -> CreateTenantRequest {
    CreateTenantRequest {
        name: name.to_owned(),
        ..Default::default()
    }
}

/// An update of a tenant's name.
pub(crate) fn rename(tenant: &Tenant, name: &str) -> UpdateTenantRequest {
    UpdateTenantRequest {
        tenant: tenant.id.clone(),
        name: Some(name.to_owned()),
        ..Default::default()
    }
}

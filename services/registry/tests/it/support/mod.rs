//! What the tests share: a registry to ask, callers to ask as, and a way to read refusals.

mod caller;
mod golden;
mod keeper;
mod refused;
mod replica;
mod world;

pub(crate) use caller::{Assertions, all_of_a_tenant, member, operator, service};
pub(crate) use golden::assert_golden;
pub(crate) use keeper::{Keeper, MEMBERS};
pub(crate) use refused::{fields, reason, why};
pub(crate) use replica::Replica;
pub(crate) use world::{World, plans_file};

use std::time::Duration;

use tenantry_proto::registry::v1::{CreateTenantRequest, Tenant, UpdateTenantRequest};

/// An event that is waited for this long in vain doesn't come.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Waits for an event that must come.
#[track_caller]
pub(crate) fn soon<T>(event: impl Future<Output = T>) -> impl Future<Output = T> {
    let waiting = std::panic::Location::caller();
    async move {
        tokio::time::timeout(SOON, event)
            .await
            .unwrap_or_else(|_| panic!("what {waiting} waits for doesn't come"))
    }
}

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

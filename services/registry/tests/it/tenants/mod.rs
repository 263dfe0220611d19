//! What registry does with tenants, as its callers see it.

mod input;
mod lifecycle;
mod limits;
mod list;
mod pages;
mod purge;
mod search;
mod tree;
mod update;

use tenantry_proto::registry::v1::{
    DeleteTenantRequest, ResumeTenantRequest, SuspendTenantRequest, Tenant, UndeleteTenantRequest,
};

fn delete(tenant: &Tenant) -> DeleteTenantRequest {
    DeleteTenantRequest {
        tenant: tenant.id.clone(),
        ..Default::default()
    }
}

fn undelete(tenant: &Tenant) -> UndeleteTenantRequest {
    UndeleteTenantRequest {
        tenant: tenant.id.clone(),
        ..Default::default()
    }
}

fn suspend(tenant: &Tenant) -> SuspendTenantRequest {
    SuspendTenantRequest {
        tenant: tenant.id.clone(),
        ..Default::default()
    }
}

fn resume(tenant: &Tenant) -> ResumeTenantRequest {
    ResumeTenantRequest {
        tenant: tenant.id.clone(),
        ..Default::default()
    }
}

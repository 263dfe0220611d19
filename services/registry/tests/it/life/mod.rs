//! A tenant's way through its life and its tree: archived, suspended with all below, at the end of its trial, under legal
//! hold, moved.

mod archive;
mod cascade;
mod holds;
mod moves;
mod trials;

use tenantry_proto::registry::v1::{GetTenantRequest, Tenant};

use crate::support::{World, operator};

/// The tenant as it is now.
async fn now(world: &World, tenant: &Tenant) -> Tenant {
    let get = GetTenantRequest {
        tenant: tenant.id.clone(),
    };
    let mut tenants = world.tenants(&operator());
    tenants.get_tenant(get).await.unwrap().into_inner()
}

/// How many events of this action a tenant has.
async fn events(world: &World, tenant: &Tenant, action: &str) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM outbox WHERE tenant_id = $1::uuid AND action = $2")
        .bind(&tenant.id)
        .bind(action)
        .fetch_one(&mut world.owner().await)
        .await
        .unwrap()
}

//! Who tells quota of what was used.

use anyhow::Result;
use tenantry_core::{Permission, Permissions};
use tenantry_rpc::assertion::{Claims, sign};
use tenantry_rpc::keys::KeyRing;
use tenantry_testkit::caller;
use tenantry_testkit::fleet::Fleet;
use tonic::metadata::{Ascii, MetadataValue};

/// An assertion of an operator who may tell of usage in every tenant.
///
/// # Errors
/// When the fleet's keys can't be read.
pub fn operator(fleet: &Fleet) -> Result<MetadataValue<Ascii>> {
    let ring = std::fs::read_to_string(fleet.keys().assertion_ring())?;
    let ring = KeyRing::parse(&ring).map_err(anyhow::Error::msg)?;
    let claims = Claims {
        perms: Permissions::of(&[Permission::PlatformTenantsManage, Permission::UsageRecord]),
        ..caller::operator()
    };
    Ok(sign(&ring, &claims)?.parse()?)
}

//! All of identity's SQL. Functions take a tenant's transaction where the rows are a tenant's, and say so where they see
//! the rows of all.

pub(crate) mod api_keys;
pub(crate) mod attempts;
pub(crate) mod bootstrap;
pub(crate) mod external_sign_ins;
pub(crate) mod identity_providers;
pub(crate) mod invitations;
pub(crate) mod mails;
pub(crate) mod members;
pub(crate) mod operators;
pub(crate) mod password_resets;
pub(crate) mod principals;
pub(crate) mod provider_ends;
pub(crate) mod roles;
pub(crate) mod seats;
pub(crate) mod service_accounts;
pub(crate) mod sessions;
pub(crate) mod sign_ups;
pub(crate) mod tenant_data;
pub(crate) mod transfer;
pub(crate) mod users;
pub(crate) mod uses;

use tenantry_core::Permissions;

use crate::domain::role::RoleKey;

/// Roles of a row, in their order.
fn roles(words: Vec<String>) -> Vec<RoleKey> {
    let mut keys: Vec<_> = words.into_iter().map(RoleKey::stored).collect();
    keys.sort_unstable();
    keys
}

fn permissions(bits: i64) -> Permissions {
    Permissions::from_bits(bits.cast_unsigned())
}

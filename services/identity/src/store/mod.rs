//! All of identity's SQL. Functions take a tenant's transaction where the rows are a tenant's, and say so where they see
//! the rows of all.

pub(crate) mod api_keys;
pub(crate) mod bootstrap;
pub(crate) mod invitations;
pub(crate) mod members;
pub(crate) mod operators;
pub(crate) mod principals;
pub(crate) mod sessions;
pub(crate) mod users;

use tenantry_core::Permissions;
use tenantry_core::role::Role;

/// Roles of a row; a word that this version doesn't know gives nothing.
fn roles(words: &[String]) -> Vec<Role> {
    words.iter().filter_map(|word| word.parse().ok()).collect()
}

fn permissions(bits: i64) -> Permissions {
    Permissions::from_bits(bits.cast_unsigned())
}

//! Sizes, places and hashes between the database, whose numbers have a sign, and the trees, whose have none.

use tenantry_transparency::Hash;

/// A size or place, for the database.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A size or place, from the database.
pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// A hash, from the database. What has another length is none, and so the hash of nothing.
pub(crate) fn hash(bytes: &[u8]) -> Hash {
    bytes.try_into().map_or_else(|_| Hash::default(), Hash)
}

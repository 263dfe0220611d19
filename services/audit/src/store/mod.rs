//! All of audit's SQL.

pub(crate) mod append;
pub(crate) mod events;
pub(crate) mod partitions;
pub(crate) mod sources;

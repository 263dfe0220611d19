//! All of audit's SQL.

pub(crate) mod append;
pub(crate) mod erasure;
pub(crate) mod events;
pub(crate) mod fleet;
pub(crate) mod logs;
pub(crate) mod number;
pub(crate) mod partitions;
pub(crate) mod ranges;
pub(crate) mod retention;
pub(crate) mod search;
pub(crate) mod sources;
pub(crate) mod tiles;
pub(crate) mod trees;

//! The log's rules, pure: what is taken, what stands in a leaf, what an event is found by, how long it is kept.

pub(crate) mod changes;
pub(crate) mod entry;
pub(crate) mod export;
pub(crate) mod proof;
pub(crate) mod query;
pub(crate) mod retention;
pub(crate) mod search;
pub(crate) mod stream;
pub(crate) mod terms;
pub(crate) mod trees;

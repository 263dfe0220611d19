//! Registry's rules, pure: no store, no transport, no clock of its own.

pub(crate) mod field;
pub(crate) mod list;
pub(crate) mod plan;
pub(crate) mod project;
pub(crate) mod slug;
pub(crate) mod tenant;

//! Registry's rules, pure: no store, no transport, no clock of its own.

pub(crate) mod custom_domain;
pub(crate) mod etag;
pub(crate) mod field;
pub(crate) mod hold;
pub(crate) mod hostname;
pub(crate) mod import;
pub(crate) mod list;
pub(crate) mod plan;
pub(crate) mod project;
pub(crate) mod purge;
pub(crate) mod search;
pub(crate) mod slug;
pub(crate) mod tenant;

/// The name of this service: of what it finds and does by itself, and of its own part of a purge, which comes last.
pub(crate) const OWN: &str = "registry";

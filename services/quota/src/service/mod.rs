//! Handlers: each authorises, parses, calls one use case, and converts.

pub(crate) mod figures;
pub(crate) mod health;
pub(crate) mod holds;
pub(crate) mod limits;
pub(crate) mod quota;
pub(crate) mod rate_limit;
pub(crate) mod reservations;
mod streams;
pub(crate) mod usage;
pub(crate) mod usage_events;

//! Handlers: each authorises, parses, calls one use case, and converts.

pub(crate) mod append;
pub(crate) mod events;
pub(crate) mod export;
pub(crate) mod logs;
pub(crate) mod sources;

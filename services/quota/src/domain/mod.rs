//! The rules, without I/O: what bounds a tenant, over which window, and what the ledger's accounts may grant and admit.

pub(crate) mod account;
pub(crate) mod alert;
pub(crate) mod decision;
pub(crate) mod entry;
pub(crate) mod export;
pub(crate) mod forecast;
pub(crate) mod health;
pub(crate) mod limit;
pub(crate) mod period;
pub(crate) mod reservation;
pub(crate) mod series;
pub(crate) mod usage_event;
pub(crate) mod usage_log;

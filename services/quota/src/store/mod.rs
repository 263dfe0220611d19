//! All SQL of quota.

pub(crate) mod accounts;
pub(crate) mod active_users;
pub(crate) mod holds;
pub(crate) mod overrides;
pub(crate) mod reservations;
pub(crate) mod series;
pub(crate) mod totals;
pub(crate) mod usage;
pub(crate) mod usage_list;

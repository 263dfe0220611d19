//! All SQL of quota.

pub(crate) mod accounts;
pub(crate) mod overrides;
pub(crate) mod usage;

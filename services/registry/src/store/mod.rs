//! All of registry's SQL.

#[macro_use]
pub(crate) mod row;

pub(crate) mod domains;
pub(crate) mod holds;
pub(crate) mod import_rows;
pub(crate) mod imports;
pub(crate) mod list;
pub(crate) mod plans;
pub(crate) mod projects;
pub(crate) mod purges;
pub(crate) mod slugs;
pub(crate) mod tenants;
pub(crate) mod tree;
pub(crate) mod trials;

//! The handlers: each authorises, parses, calls one use case, converts.

pub(crate) mod domains;
pub(crate) mod legal_holds;
pub(crate) mod plans;
pub(crate) mod projects;
pub(crate) mod sign_up;
pub(crate) mod step;
pub(crate) mod subscriptions;
mod target;
pub(crate) mod tenant_feed;
pub(crate) mod tenant_imports;
pub(crate) mod tenant_list;
pub(crate) mod tenants;

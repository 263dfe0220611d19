//! How Tenantry's services speak: the one stack that every request passes, who is asking, refusals as statuses, and
//! calls between services.

pub mod assertion;
pub mod attempts;
pub mod call;
pub mod client;
pub mod convert;
pub mod export;
pub mod keys;
pub mod limit_policy;
pub mod places;
pub mod revocations;
pub mod stack;
pub mod status;
pub mod stream;
pub mod tasks;
pub mod tenant_data;
pub mod tenant_stream;
pub mod tenants;
pub mod watched;

pub use call::{Call, answer, open};
pub use stack::Stack;
pub use status::status;
pub use tasks::{Tasks, contained};

//! What the tests share: an audit to append to and read from, callers to ask as, and events to append.

mod caller;
mod exported;
mod old;
mod registry;
mod replica;
mod tree;
mod world;

pub(crate) use caller::service;
pub(crate) use exported::{Exported, FORMATS, all, rest};
pub(crate) use old::Old;
pub(crate) use registry::Registry;
pub(crate) use replica::Replica;
pub(crate) use tenantry_testkit::caller::{Assertion, member, operator};
pub(crate) use tree::{Tree, hashes, head};
pub(crate) use world::{World, event, stream};

use tenantry_core::Reason;
use tonic::Status;

/// The reason of a refusal.
#[track_caller]
pub(crate) fn reason(status: &Status) -> Reason {
    let refusal = tenantry_rpc::status::refusal(status);
    refusal.unwrap_or_else(|| panic!("{status:?}")).reason
}

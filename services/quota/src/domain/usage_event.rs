//! What was used already, as it is told of: by events, and by what a replica let pass.

use jiff::Timestamp;
use tenantry_core::TenantId;
use uuid::Uuid;

/// One event, as it was told.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// Its place in the request.
    pub(crate) place: usize,
    /// Where it is from: in the tenant, its ids are those of one source.
    pub(crate) source: String,
    pub(crate) id: String,
    pub(crate) digest: Vec<u8>,
    pub(crate) resource_type: String,
    pub(crate) amount: i64,
    /// Now, where it isn't said.
    pub(crate) occurred_at: Option<Timestamp>,
    pub(crate) description: String,
}

/// An event that is to be taken down.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    pub(crate) told: &'a Told,
    pub(crate) usage_id: Uuid,
    pub(crate) occurred_at: Timestamp,
    /// Which group it is of.
    pub(crate) group: usize,
}

/// What one tenant's requests of one resource type add up to. It is written once for its id.
#[derive(Clone, Debug)]
pub(crate) struct Sum {
    pub(crate) id: Uuid,
    pub(crate) tenant: TenantId,
    pub(crate) resource_type: Box<str>,
    pub(crate) amount: i64,
}

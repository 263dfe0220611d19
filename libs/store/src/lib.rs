//! The store as services see it: a tenant's transaction behind row-level security, the event beside each change, the
//! first answer of each request id, the feed that followers read, the relay that hands events to the log, and what is left to
//! do when a tenant goes.

mod across;
mod begin;
pub mod error;
pub mod feed;
pub mod filter;
pub mod migrate;
mod outbox;
pub mod pool;
pub mod relay;
mod request_record;
pub mod tenant_data;
pub mod time;
pub mod tx;

pub use across::AcrossTx;
pub use error::Error;
pub use pool::{PoolConfig, Store};
pub use request_record::Replay;
pub use tenant_data::TenantTable;
pub use tx::{PlatformTx, TenantTx};

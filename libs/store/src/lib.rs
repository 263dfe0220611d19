//! The store as services see it: a tenant's transaction behind row-level security, the event beside each change, the
//! first answer of each request id, and the feed that followers read.

pub mod error;
pub mod feed;
pub mod migrate;
mod outbox;
pub mod pool;
mod request_record;
pub mod time;
pub mod tx;

pub use error::Error;
pub use pool::{PoolConfig, Store};
pub use request_record::Replay;
pub use tx::{PlatformTx, TenantTx};

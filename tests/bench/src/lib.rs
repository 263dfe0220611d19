//! What the benchmarks share: a load that is the same for both sides, the rows that it needs, and how figures are told.

pub mod audit_log;
pub mod cores;
pub mod draw;
pub mod drive;
pub mod figures;
pub mod load;
pub mod log;
pub mod question;
pub mod rate;
pub mod raw;
pub mod side;
pub mod usage;

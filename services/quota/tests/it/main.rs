//! Quota with a real database and a real Redis: what it admits, and each way that we know to break it.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

mod exactness;
mod input;
mod leases;
mod leases_lost;
mod limits;
mod losses;
mod pools;
mod purge;
mod rates;
mod repeated;
mod support;
mod walls;
mod windows;

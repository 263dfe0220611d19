//! Quota with a real database and a real Redis: what it admits, and each way that we know to break it.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

mod exactness;
mod health;
mod input;
mod limits;
mod losses;
mod metrics;
mod pools;
mod purge;
mod rates;
mod repeated;
mod support;
mod usage;
mod walls;
mod windows;

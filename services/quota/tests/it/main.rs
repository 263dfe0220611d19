//! Quota with a real database and a real Redis: what it admits, and each way that we know to break it.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

mod exactness;
mod gauges;
mod holds;
mod input;
mod limits;
mod losses;
mod pools;
mod purge;
mod rates;
mod repeated;
mod reservations;
mod several;
mod support;
mod walls;
mod windows;

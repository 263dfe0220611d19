//! Quota with a real database and a real Redis: what it admits, and each way that we know to break it.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

mod alerts;
mod events;
mod exactness;
mod gauges;
mod health;
mod holds;
mod input;
mod leases;
mod leases_lost;
mod limits;
mod losses;
mod metrics;
mod overrides;
mod policies;
mod pools;
mod purge;
mod rates;
mod repeated;
mod reservations;
mod several;
mod streams;
mod support;
mod usage;
mod walls;
mod windows;

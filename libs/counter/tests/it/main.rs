//! The counters against a real Redis: exact under concurrency, and never more generous for anything that Redis lost.
#![allow(clippy::unwrap_used)] // A test that can't go on has failed.

mod support;

mod leases;
mod losses;
mod model;
mod openings;
mod rates;
mod spending;

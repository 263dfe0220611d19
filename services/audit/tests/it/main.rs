//! Audit with a real database: what it takes, what it shows to whom, and each way that we know to break it.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

mod alarms;
mod append;
mod export;
mod independent;
mod proofs;
mod purge;
mod reading;
mod recording;
mod retention;
mod search;
mod sources;
mod support;
mod tails;
mod trees;
mod walls;

//! Registry and the store on a real Postgres: each promise, tried from outside. Every test has a database of its own, and
//! its registry runs in this process, behind the stack of production, on a real socket.
#![allow(clippy::unwrap_used)] // A test that can't go on has failed.

mod attempts;
mod domains;
mod feed;
mod growing;
mod idempotency;
mod identity_wall;
mod imports;
mod isolation;
mod life;
mod outbox;
mod panics;
mod personal;
mod plans;
mod projects;
mod relay;
mod secrets;
mod sign_ups;
mod support;
mod tenants;

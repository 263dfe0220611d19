//! Identity on a real Postgres, behind a stand-in for registry: called as the gateway calls it, question first.
#![allow(clippy::unwrap_used)] // A test that can't go on has failed.

mod api_keys;
mod caller;
mod gateway;
mod invitations;
mod mail;
mod members;
mod operators;
mod permissions;
mod registry;
mod replica;
mod sign_in;
mod walls;
mod world;

//! Identity on a real Postgres, behind a stand-in for registry: called as the gateway calls it, question first.

mod api_keys;
mod gateway;
mod members;
mod operators;
mod registry;
mod sign_in;
mod world;

//! Identity on a real Postgres, behind a stand-in for registry: called as the gateway calls it, question first.
#![allow(clippy::unwrap_used)] // A test that can't go on has failed.

mod api_keys;
mod attempts;
mod caller;
mod external;
mod floods;
mod gateway;
mod home;
mod identity_providers;
mod invitations;
mod lockout;
mod mail;
mod members;
mod memberships;
mod operators;
mod page_cost;
mod passwords;
mod permissions;
mod personal;
mod registry;
mod replica;
mod roles;
mod rotation;
mod seats;
mod service_accounts;
mod sessions;
mod sign_in;
mod sign_up;
mod smtp;
mod tenant_data;
mod transfer;
mod walls;
mod world;

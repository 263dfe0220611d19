//! The whole fleet through the real Envoy: what Tenantry promises, and each way that we know to break it.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods
)]

mod arrows;
mod attacks_invitations;
mod attacks_roles;
mod audit_outage;
mod audit_storm;
mod audit_walk;
mod bad_input;
mod canaries;
mod conformance;
mod crash;
mod crash_transfer;
mod domains;
mod edge;
mod exports;
mod external_sign_in;
mod gateway_refusals;
mod gateway_word;
mod headers;
mod idempotency;
mod imports;
mod isolation;
mod matrix;
mod operators;
mod purge;
mod quota;
mod quota_storm;
mod rate_limits;
mod revocation;
mod role_table;
mod seats;
mod shapes;
mod sign_up;
mod slugs;
mod streams;
mod support;
mod suspension;
mod tails;
mod tls;
mod trace;
mod usage;
mod walls;

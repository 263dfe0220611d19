//! The local fleet: Postgres, Redis, PgBouncer, Envoy and Tenantry's services as real processes, for tests and for
//! `./dev up`.
//!
//! Everything listens on 127.0.0.1, writes to log files of its own, and ends with the process that started it, however
//! that ends. A test of one service asks [`database::TestDatabase`] for a database; a test of the whole starts a
//! [`fleet::Fleet`] and talks to it through [`rest::Rest`].

pub mod caller;
pub mod cluster;
pub mod database;
pub mod dns;
pub mod environment;
pub mod envoy;
pub mod fault_proxy;
pub mod fleet;
pub mod keys;
pub mod mail;
pub mod oidc_provider;
pub mod paths;
pub mod pgbouncer;
pub mod port;
pub mod postgres;
pub mod probe;
pub mod process;
pub mod quota_double;
pub mod redis;
pub mod redis_cluster;
pub mod registry_double;
pub mod rest;
pub mod service;
pub mod smtp;
pub mod statements;
pub mod tools;
pub mod unit;
pub mod wait;
pub mod walls;

//! The log's format: what it promises to whoever verifies it.
#![allow(clippy::unwrap_used)] // A test that can't go on has failed.

mod canonical;
mod checkpoint;
mod grown;
mod independent;
mod leaf;
mod tree;

//! What the command proves, and that it notices every change. It runs as people run it.
#![allow(clippy::unwrap_used)] // A test that can't go on has failed.

mod changes;
mod checkpoints;
mod earlier;
mod exports;
mod log;
mod proof;
mod render;
mod run;
mod shown;

//! What the tests share: quota with a real database and a real Redis, and callers to ask as.

mod logged;
mod owner;
mod process;
mod replica;
mod world;

pub(crate) use logged::{Logged, log, used};
pub(crate) use owner::Owner;
pub(crate) use process::Process;
pub(crate) use replica::{Quotas, Rates, Replica, Reservations, UsageEvents};
pub(crate) use world::{Kind, World, at_once, decided, reason, to, using};

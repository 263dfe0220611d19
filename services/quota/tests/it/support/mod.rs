//! What the tests share: quota with a real database and a real Redis, and callers to ask as.

mod owner;
mod replica;
mod world;

pub(crate) use owner::Owner;
pub(crate) use replica::{Quotas, Rates, Replica, Reservations};
pub(crate) use world::{Kind, World, decided, reason, to, using};

//! List, then watch, through gRPC: everything once, in order, on any replica, and to nobody who may not see it.

mod client;
mod internal;
mod numbering;
mod sweep;
mod watch;

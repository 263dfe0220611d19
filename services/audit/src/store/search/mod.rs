//! The rows of what the log is searched by.

pub(crate) mod due;
pub(crate) mod postings;
pub(crate) mod runs;
pub(crate) mod times;

//! Spans of time that usage is counted over.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A span of time; without an end it is that of what never resets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Its first instant.
    pub start: Timestamp,
    /// The first instant behind it.
    pub end: Option<Timestamp>,
}

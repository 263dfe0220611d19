//! The log of what was used, as it is read: its lines, and where its pages are cut.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenantry_core::filter::Filter;
use uuid::Uuid;

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogLine {
    /// Of the entry.
    pub(crate) usage_id: Uuid,
    /// Which of the entry's.
    pub(crate) line: i16,
    pub(crate) resource_type: String,
    pub(crate) amount: i64,
    pub(crate) kind: String,
    /// Who told of it: their kind, a colon, and their id.
    pub(crate) principal: String,
    pub(crate) description: String,
    pub(crate) occurred_at: Timestamp,
    pub(crate) recorded_at: Timestamp,
    pub(crate) request_id: String,
    pub(crate) refers_to: Option<Uuid>,
}

impl LogLine {
    /// Who told of it: their kind, and their id.
    pub(crate) fn principal(&self) -> (&str, &str) {
        self.principal
            .split_once(':')
            .unwrap_or(("", &self.principal))
    }

    /// The place behind it.
    pub(crate) fn place(&self) -> Place {
        Place {
            recorded_micros: self.recorded_at.as_microsecond(),
            usage_id: self.usage_id,
            line: self.line,
            skip: 0,
        }
    }
}

/// A place between two lines of the log, the newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// What the line before it has, in microseconds since 1970.
    pub(crate) recorded_micros: i64,
    pub(crate) usage_id: Uuid,
    pub(crate) line: i16,
    /// How many lines that fit are still to be left out from there.
    pub(crate) skip: i64,
}

/// Some lines of a log, asked for.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) filter: Option<Filter>,
    /// Where to go on; from the newest line where there is none.
    pub(crate) after: Option<Place>,
    /// How many lines that fit are left out, from the newest on.
    pub(crate) offset: i64,
    pub(crate) limit: u32,
}

impl Query {
    /// How many lines that fit are left out from where it goes on.
    pub(crate) fn skip(&self) -> i64 {
        self.after.map_or(self.offset, |place| place.skip)
    }
}

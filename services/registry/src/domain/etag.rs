//! Changes are made to the state that they were decided on.

use crate::error::Error;

/// Refuses a change that was decided on another state of `what`; an empty etag was decided on none.
pub(crate) fn compare(decided_on: &str, present: &str, what: &'static str) -> Result<(), Error> {
    if decided_on.is_empty() || decided_on == present {
        Ok(())
    } else {
        Err(Error::EtagMismatch(what))
    }
}

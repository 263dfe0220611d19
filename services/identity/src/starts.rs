//! How often one network may begin a sign-in at a provider: each costs a row that lies for ten minutes, and anyone can begin
//! one.

use crate::error::Error;
use crate::per_network::PerNetwork;

/// Beginnings of one network in a minute.
const MOST: u32 = 300;

/// Counters of beginnings.
#[derive(Clone, Debug)]
pub(crate) struct Starts(PerNetwork);

impl Starts {
    pub(crate) fn new() -> Self {
        Self(PerNetwork::new(MOST))
    }

    /// Counts one more of this address, or refuses it.
    pub(crate) fn admit(&self, address: &str) -> Result<(), Error> {
        if self.0.take(address) {
            Ok(())
        } else {
            Err(Error::TooManyStarts)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_that_begins_too_many_waits_whatever_its_address_and_no_other() {
        let starts = Starts::new();
        for n in 0..MOST {
            starts.admit(&format!("2001:db8:1:2::{n:x}")).unwrap();
        }
        assert!(starts.admit("2001:db8:1:2:3::").is_err());
        assert!(starts.admit("2001:db8:1:3::").is_ok());
    }
}

//! Wrong one-time links: a network that guesses is told to wait before anything is looked up.

use crate::error::Error;
use crate::per_network::PerNetwork;

/// Most wrong links of one network in a minute.
const MOST: u32 = 30;

/// Counters of wrong links.
#[derive(Clone, Debug)]
pub(crate) struct Guesses(PerNetwork);

impl Guesses {
    pub(crate) fn new() -> Self {
        Self(PerNetwork::new(MOST))
    }

    /// Refuses an address whose network was wrong too often lately.
    pub(crate) fn admit(&self, address: &str) -> Result<(), Error> {
        if self.0.is_spent(address) {
            Err(Error::TooManyGuesses)
        } else {
            Ok(())
        }
    }

    /// Notes a wrong link.
    pub(crate) fn wrong(&self, address: &str) {
        self.0.take(address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_guesses_links_waits_whatever_their_address_and_nobody_else() {
        let guesses = Guesses::new();
        for n in 0..MOST {
            let address = format!("2001:db8:1:2::{n:x}");
            guesses.admit(&address).unwrap();
            guesses.wrong(&address);
        }
        assert!(guesses.admit("2001:db8:1:2:3::").is_err());
        assert!(guesses.admit("192.0.2.2").is_ok());
    }
}

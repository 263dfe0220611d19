//! Leases: what is spent ahead of the requests that it is for, so that whoever holds one admits them without asking.

use std::time::Duration;

use tenantry_core::{Window, random};

use crate::connection::{Call, Function};
use crate::reply::{self, Leased, Opening};
use crate::{CounterKey, Counters, Error, checked, end_ms};

/// Which lease of a counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseId(String);

impl LeaseId {
    /// A new one, that no other lease has.
    #[must_use]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self(format!("{:016x}", u64::from_le_bytes(random::bytes())))
    }
}

/// What a lease is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Most of it.
    pub amount: i64,
    /// The least that is worth it.
    pub least: i64,
    /// For how long, from now by Redis's clock, it is noted as what may be given back.
    pub noted_for: Duration,
}

/// A counter that a lease is of.
#[derive(Clone, Copy, Debug)]
pub struct LeaseOf<'a> {
    /// The counter.
    pub key: &'a CounterKey,
    /// Its opening.
    pub opening: &'a Opening,
    /// What the limit has for that opening, spent or not.
    pub limit: i64,
    /// The window that the counter is of.
    pub window: Window,
}

impl Counters {
    /// Spends as much as is wanted, or as there is to lease, from all these counters, which are of one tree and each of which comes
    /// once, or from none of them.
    ///
    /// # Errors
    /// [`Error::Amount`]; or Redis doesn't answer, and what was perhaps spent stays so until the lease is ended.
    pub async fn lease(
        &self,
        id: &LeaseId,
        wanted: Wanted,
        of: &[LeaseOf<'_>],
    ) -> Result<Leased, Error> {
        let mut call = Call::new(Function::Lease, of.iter().map(|of| of.key))
            .arg(&id.0)
            .arg(checked(wanted.amount)?)
            .arg(checked(wanted.least)?)
            .arg(wanted.noted_for.as_millis() as u64);
        for of in of {
            call = call.arg(of.opening.as_str()).arg(of.limit);
            call = call.arg(of.window.start.as_millisecond());
            call = call.arg(end_ms(of.window));
        }
        Ok(reply::leased(self.ask(&call).await?)?)
    }

    /// Ends a lease, and gives back what is left of it. It may be repeated.
    ///
    /// # Errors
    /// [`Error::Amount`]; or Redis doesn't answer.
    pub async fn end_lease(
        &self,
        id: &LeaseId,
        left: i64,
        counters: &[(&CounterKey, &Opening)],
    ) -> Result<(), Error> {
        let mut call = Call::new(Function::EndLease, counters.iter().map(|(key, _)| *key))
            .arg(&id.0)
            .arg(checked(left)?);
        for (_, opening) in counters {
            call = call.arg(opening.as_str());
        }
        self.ask(&call).await?;
        Ok(())
    }
}

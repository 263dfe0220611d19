//! The hot counters in Redis: what the ledger granted is spent here, by one call for all that a decision counts.
//!
//! The rules are the functions of `counter.lua`, which Redis runs one at a time; this crate names keys, calls them, and reads what
//! they answer. Where an answer doesn't come it isn't known whether a call was done: what was perhaps spent stays spent until the
//! ledger closes the counter.

mod connection;
mod key;
mod lease;
mod reply;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
pub use tenantry_core::{Rate, RatePeriod, Window};

pub use connection::Counters;
use connection::{Call, Function};
pub use key::CounterKey;
pub use lease::{LeaseId, LeaseOf, Wanted};
pub use reply::{Closed, Counter, Granted, Leased, Look, Opened, Opening, Spent};

/// Largest amount of one counter, granted and spent in one opening: what Lua's numbers hold exactly.
pub const MAX_AMOUNT: i64 = (1 << 53) - 1;

/// How long after its window a counter is kept at least, for whoever still closes it; as long as the window lasted, where that is
/// longer.
const KEPT_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// Why a counter can't be asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Redis doesn't answer, or answers with an error. Whether the call was done isn't known.
    #[error("redis: {0}")]
    Redis(#[from] redis::RedisError),
    /// No answer came in time. Whether the call was done isn't known.
    #[error("redis gave no answer within {0:?}")]
    Late(Duration),
    /// An amount is negative, or more than [`MAX_AMOUNT`]. Nothing was done.
    #[error("an amount of {0} can't be counted")]
    Amount(i64),
}

/// What a spent amount becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It is used once it is spent here.
    Fast,
    /// It is used once the ledger has it; until then it can be given back.
    Durably,
}

impl How {
    const fn field(self) -> &'static str {
        match self {
            Self::Fast => "f",
            Self::Durably => "d",
        }
    }
}

/// The window's end in milliseconds, 0 for none.
fn end_ms(window: Window) -> i64 {
    window.end.map_or(0, Timestamp::as_millisecond)
}

fn kept_until_ms(window: Window) -> i64 {
    let kept = |end: Timestamp| {
        let after = end.duration_since(window.start).max(KEPT_AFTER);
        end.saturating_add(after)
            .map_or(0, Timestamp::as_millisecond)
    };
    window.end.map_or(0, kept)
}

/// What a decision counts in one counter.
#[derive(Clone, Debug)]
pub struct Spend<'a> {
    /// The counter.
    pub key: &'a CounterKey,
    /// Its opening.
    pub opening: &'a Opening,
    /// How much, from 0 to [`MAX_AMOUNT`].
    pub amount: i64,
    /// The window that the counter is of.
    pub window: Window,
    /// How fast it may be spent, in any window.
    pub rate: Option<Rate>,
}

impl Counters {
    /// Spends from all these counters, which are of one tree, or from none of them. What is given back isn't given back to a rate.
    ///
    /// # Errors
    /// [`Error::Amount`]; or Redis doesn't answer, and what was perhaps spent stays so until the counter is closed.
    pub async fn spend(&self, how: How, spends: &[Spend<'_>]) -> Result<Spent, Error> {
        let rated = spends.iter().enumerate();
        let rated: Vec<_> = rated
            .filter_map(|(place, spend)| Some((place, spend.amount, spend.rate?)))
            .collect();
        let rates: Vec<_> = rated
            .iter()
            .map(|(place, ..)| spends[*place].key.rate())
            .collect();
        let counters = spends.iter().map(|spend| spend.key);
        let keys: Vec<_> = counters.chain(&rates).collect();
        let mut call = Call::new(Function::Spend, keys.into_iter())
            .arg(how.field())
            .arg(spends.len());
        for spend in spends {
            call = call.arg(spend.opening.as_str()).arg(checked(spend.amount)?);
            call = call.arg(spend.window.start.as_millisecond());
            call = call.arg(end_ms(spend.window));
        }
        for (_, amount, rate) in &rated {
            call = call.arg(*amount).arg(checked(rate.amount)?);
            call = call.arg(rate.per_us()).arg(checked(rate.burst)?);
        }
        let places = |nth: usize| rated.get(nth).map(|(place, ..)| *place);
        Ok(reply::spent(self.ask(&call).await?, places)?)
    }

    /// Gives back amounts that were spent durably and aren't used after all. Where no answer comes it isn't to be repeated: it might
    /// be what another holds that is given back then.
    ///
    /// # Errors
    /// [`Error::Amount`]; or Redis doesn't answer.
    pub async fn give_back(&self, spends: &[Spend<'_>]) -> Result<(), Error> {
        let mut call = Call::new(Function::GiveBack, spends.iter().map(|spend| spend.key));
        for spend in spends {
            call = call.arg(spend.opening.as_str()).arg(checked(spend.amount)?);
        }
        self.ask(&call).await?;
        Ok(())
    }

    /// Opens a counter with nothing granted; what it was before is lost. The ledger notes the opening before it grants anything.
    ///
    /// # Errors
    /// Redis doesn't answer.
    pub async fn open(&self, key: &CounterKey, window: Window) -> Result<Opened, Error> {
        let call = Call::new(Function::Open, [key].into_iter()).arg(end_ms(window));
        let call = call.arg(kept_until_ms(window));
        Ok(reply::opened(self.ask(&call).await?)?)
    }

    /// Raises what is granted to a sum, which the ledger has noted before. It may be repeated, and come in any order with others.
    ///
    /// # Errors
    /// [`Error::Amount`]; or Redis doesn't answer.
    pub async fn grant(
        &self,
        key: &CounterKey,
        opening: &Opening,
        sum: i64,
    ) -> Result<Granted, Error> {
        let call = Call::new(Function::Grant, [key].into_iter()).arg(opening.as_str());
        let call = call.arg(checked(sum)?);
        Ok(reply::granted(self.ask(&call).await?)?)
    }

    /// Ends an opening: from now on nothing is spent of what it was granted.
    ///
    /// # Errors
    /// Redis doesn't answer.
    pub async fn close(&self, key: &CounterKey, opening: &Opening) -> Result<Closed, Error> {
        let call = Call::new(Function::Close, [key].into_iter()).arg(opening.as_str());
        Ok(reply::closed(self.ask(&call).await?)?)
    }

    /// Reads counters of one tree, each with its opening, and Redis's clock.
    ///
    /// # Errors
    /// Redis doesn't answer.
    pub async fn look(&self, counters: &[(&CounterKey, &Opening)]) -> Result<Look, Error> {
        let mut call = Call::new(Function::Look, counters.iter().map(|(key, _)| *key));
        for (_, opening) in counters {
            call = call.arg(opening.as_str());
        }
        Ok(reply::look(self.ask(&call).await?)?)
    }
}

fn checked(amount: i64) -> Result<i64, Error> {
    if (0..=MAX_AMOUNT).contains(&amount) {
        Ok(amount)
    } else {
        Err(Error::Amount(amount))
    }
}

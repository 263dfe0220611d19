//! What the functions answer.

use std::time::Duration;

use jiff::Timestamp;
use redis::{ErrorKind, FromRedisValue, RedisError, Value};

/// One opening of a counter: no other has its id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Opening(String);

impl Opening {
    /// One that the ledger noted.
    #[must_use]
    pub fn noted(id: String) -> Self {
        Self(id)
    }

    /// Its id, as the ledger notes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a counter has, in one opening.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    /// Granted to it.
    pub granted: i64,
    /// Spent, and used by that.
    pub fast: i64,
    /// Spent, and used once the ledger has it.
    pub durable: i64,
    /// What of `fast` leases may still give back, where it was asked for: by [`crate::Counters::look`].
    pub leased: i64,
}

impl Counter {
    /// What can be spent.
    #[must_use]
    pub const fn left(&self) -> i64 {
        self.granted - self.fast - self.durable
    }
}

/// What became of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spent {
    /// All amounts were spent; the counters are as they are behind that.
    Done(Vec<Counter>),
    /// Nothing was: one counter has too little left.
    Short(Vec<Counter>),
    /// Nothing was: the counter of this place in the call isn't of its opening any more.
    Lost(usize),
    /// Nothing was: the time, by Redis's clock, isn't in one of the windows.
    Outside(Timestamp),
    /// Nothing was: the rate of the counter of this place in the call isn't kept.
    Early {
        /// The place.
        place: usize,
        /// When it would be kept; never, where more is asked for than may be spent at once.
        wait: Option<Duration>,
        /// What may be spent now.
        left: i64,
    },
}

/// What became of a lease that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leased {
    /// So much was spent for it; the time is Redis's, and the counters are as they are behind that.
    Done {
        /// How much.
        amount: i64,
        /// When.
        now: Timestamp,
        /// The counters.
        counters: Vec<Counter>,
    },
    /// Nothing was: there is too little left to lease any of it.
    Scarce,
    /// Nothing was: the counter of this place in the call isn't of its opening any more.
    Lost(usize),
    /// Nothing was: the time, by Redis's clock, isn't in one of the windows.
    Outside(Timestamp),
}

/// What became of an opening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// The counter is of this one.
    Done(Opening),
    /// The time, by Redis's clock, is behind its window.
    Outside(Timestamp),
}

/// What became of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granted {
    /// The counter has it.
    Done(Counter),
    /// The counter isn't of that opening any more: what it spent isn't known, and it spends nothing more.
    Lost,
}

/// What became of a counter that was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// It ended with this.
    Ended(Counter),
    /// It wasn't of that opening any more: what it spent isn't known, and it spends nothing more.
    Lost,
}

/// What counters are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The time, by Redis's clock.
    pub now: Timestamp,
    /// Each, where it is of its opening.
    pub counters: Vec<Option<Counter>>,
}

/// `rated` tells the place of the counter whose rate is the nth.
pub(crate) fn spent(
    value: Value,
    rated: impl Fn(usize) -> Option<usize>,
) -> Result<Spent, RedisError> {
    let mut parts = Parts::of(value)?;
    match parts.word()?.as_str() {
        "spent" => Ok(Spent::Done(parts.known()?)),
        "short" => Ok(Spent::Short(parts.known()?)),
        "lost" => Ok(Spent::Lost(parts.next::<usize>()?.saturating_sub(1))),
        "outside" => Ok(Spent::Outside(parts.time()?)),
        "early" => Ok(Spent::Early {
            place: rated(parts.next::<usize>()?.saturating_sub(1)).ok_or_else(unexpected)?,
            wait: Some(parts.next()?)
                .filter(|us| *us > 0)
                .map(Duration::from_micros),
            left: parts.next()?,
        }),
        _ => Err(unexpected()),
    }
}

pub(crate) fn leased(value: Value) -> Result<Leased, RedisError> {
    let mut parts = Parts::of(value)?;
    match parts.word()?.as_str() {
        "leased" => Ok(Leased::Done {
            amount: parts.next()?,
            now: parts.time()?,
            counters: parts.known()?,
        }),
        "scarce" => Ok(Leased::Scarce),
        "lost" => Ok(Leased::Lost(parts.next::<usize>()?.saturating_sub(1))),
        "outside" => Ok(Leased::Outside(parts.time()?)),
        _ => Err(unexpected()),
    }
}

pub(crate) fn opened(value: Value) -> Result<Opened, RedisError> {
    let mut parts = Parts::of(value)?;
    match parts.word()?.as_str() {
        "opened" => Ok(Opened::Done(Opening(parts.word()?))),
        "outside" => Ok(Opened::Outside(parts.time()?)),
        _ => Err(unexpected()),
    }
}

pub(crate) fn granted(value: Value) -> Result<Granted, RedisError> {
    let mut parts = Parts::of(value)?;
    match parts.word()?.as_str() {
        "granted" => Ok(Granted::Done(parts.counter()?.ok_or_else(unexpected)?)),
        "lost" => Ok(Granted::Lost),
        _ => Err(unexpected()),
    }
}

pub(crate) fn closed(value: Value) -> Result<Closed, RedisError> {
    let mut parts = Parts::of(value)?;
    match parts.word()?.as_str() {
        "ended" => Ok(Closed::Ended(parts.counter()?.ok_or_else(unexpected)?)),
        "lost" => Ok(Closed::Lost),
        _ => Err(unexpected()),
    }
}

pub(crate) fn look(value: Value) -> Result<Look, RedisError> {
    let mut parts = Parts::of(value)?;
    Ok(Look {
        now: parts.time()?,
        counters: parts.counters()?,
    })
}

/// The parts of an answer that weren't read yet.
struct Parts(std::vec::IntoIter<Value>);

impl Parts {
    fn of(value: Value) -> Result<Self, RedisError> {
        let parts: Vec<Value> = Vec::from_redis_value(value)?;
        Ok(Self(parts.into_iter()))
    }

    fn next<T: FromRedisValue>(&mut self) -> Result<T, RedisError> {
        let part = self.0.next().ok_or_else(unexpected)?;
        Ok(T::from_redis_value(part)?)
    }

    fn word(&mut self) -> Result<String, RedisError> {
        self.next()
    }

    fn time(&mut self) -> Result<Timestamp, RedisError> {
        Timestamp::from_millisecond(self.next()?).map_err(|_| unexpected())
    }

    fn counter(&mut self) -> Result<Option<Counter>, RedisError> {
        let fields: Vec<i64> = self.next()?;
        match *fields.as_slice() {
            [] => Ok(None),
            [granted, fast, durable, ref leased @ ..] if leased.len() <= 1 => Ok(Some(Counter {
                granted,
                fast,
                durable,
                leased: leased.first().copied().unwrap_or_default(),
            })),
            _ => Err(unexpected()),
        }
    }

    fn counters(&mut self) -> Result<Vec<Option<Counter>>, RedisError> {
        let mut counters = Vec::with_capacity(self.0.len());
        while self.0.len() > 0 {
            counters.push(self.counter()?);
        }
        Ok(counters)
    }

    /// Counters that are all there.
    fn known(&mut self) -> Result<Vec<Counter>, RedisError> {
        let counters = self.counters()?.into_iter().collect::<Option<_>>();
        counters.ok_or_else(unexpected)
    }
}

/// An answer that no function gives.
fn unexpected() -> RedisError {
    RedisError::from((ErrorKind::UnexpectedReturnType, "not an answer of ours"))
}

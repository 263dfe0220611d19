//! Where attempts that didn't succeed are told and counted: in the streams of events of the service's own store.
//!
//! An attempt of someone who is known is an event of their own tenant, in a transaction of its own. All others are counted in
//! memory and written down once a minute, one event for each count, in the platform's stream. They are counts, not events: what
//! a replica that is killed had counted since its last writing is lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Value, json};
use tenantry_core::event::{Event, Outcome};
use tenantry_core::{
    Origin, Permissions, Principal, Reason, Refusal, RequestContext, TenantId, UserId, network,
};
use tenantry_rpc::Tasks;
use tenantry_rpc::attempts::{Attempt, Attempts, Counted};
use tenantry_store::{Error, Store};
use uuid::Uuid;

/// How often counts are written.
const WRITE_EVERY: Duration = Duration::from_secs(60);
/// Longest try at the end of the process.
const LAST_WRITE_WITHIN: Duration = Duration::from_secs(3);
/// Most counts that are kept apart; what comes beyond them is counted by its reason alone.
const MOST: usize = 10_000;
/// Most events in one statement.
const BATCH: usize = 500;

/// Attempts, told and counted in the service's store. Clones share their counts.
#[derive(Clone, Debug)]
pub struct StoredAttempts {
    store: Store,
    counts: Arc<Mutex<Counts>>,
}

impl StoredAttempts {
    /// Attempts, and the task that writes the counts, spawned.
    #[must_use]
    pub fn start(store: Store, tasks: &Tasks) -> Self {
        let attempts = Self {
            store,
            counts: Arc::default(),
        };
        tasks.keep("refused requests", attempts.clone().write_on(tasks.clone()));
        attempts
    }

    /// Counts a sign-in of a known person that was refused for this. Never waits.
    pub fn count_sign_in(&self, user: UserId, reason: Reason, ip: &str) {
        let key = Key::SignIns {
            user,
            reason,
            minute: this_minute(),
        };
        add(&mut self.lock(), key, Count::one(ip));
    }

    /// Writes down what was counted so far. What can't be written is counted on.
    ///
    /// # Errors
    /// The database doesn't answer.
    pub async fn write_down(&self) -> Result<(), Error> {
        let counted: Vec<_> = std::mem::take(&mut *self.lock()).into_iter().collect();
        let mut failed = None;
        for batch in counted.chunks(BATCH) {
            if let Err(error) = self.write(batch).await {
                let mut counts = self.lock();
                for (key, count) in batch {
                    add(&mut counts, key.clone(), count.clone());
                }
                failed = Some(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Writes down what was counted last, once nothing more is served.
    pub(crate) async fn write_last(&self) {
        match tokio::time::timeout(LAST_WRITE_WITHIN, self.write_down()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error = %error, "the last counts were not written"),
            Err(_elapsed) => tracing::warn!("the last counts were not written in time"),
        }
    }

    /// Writes until cancelled. What can't be written is tried again with the next.
    async fn write_on(self, tasks: Tasks) {
        loop {
            tokio::select! {
                () = tasks.cancelled() => return,
                () = tokio::time::sleep(WRITE_EVERY) => {}
            }
            if let Err(error) = self.write_down().await {
                tracing::warn!(error = %error, "counts of refused requests were not written");
            }
        }
    }

    async fn write(&self, batch: &[(Key, Count)]) -> Result<(), Error> {
        let events = batch.iter().map(|(key, count)| event(key, count));
        let events = events.map(|event| (TenantId::PLATFORM, event)).collect();
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        tx.record_each(events).await?;
        tx.commit().await
    }

    async fn tell(&self, stream: TenantId, event: &Event) -> Result<(), Error> {
        let mut tx = self.store.begin(stream).await?;
        tx.record(event).await?;
        tx.commit().await
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempts for StoredAttempts {
    fn record(&self, attempt: Attempt) -> BoxFuture<'_, Result<(), Refusal>> {
        Box::pin(async move {
            let event = attempt.event();
            let home = attempt.ctx.home.unwrap_or(TenantId::PLATFORM);
            let told = match self.tell(home, &event).await {
                // The tenant is being purged: nothing more comes into its stream.
                Err(Error::TenantClosed) => self.tell(TenantId::PLATFORM, &event).await,
                told => told,
            };
            told.map_err(|error| {
                tracing::error!(error = %error, "an attempt can't be told, so its refusal isn't answered");
                Refusal::unavailable()
            })
        })
    }

    fn count(&self, counted: Counted) {
        let key = Key::Requests {
            network: network(&counted.ip),
            reason: counted.reason,
            method: counted.method,
            minute: this_minute(),
        };
        add(&mut self.lock(), key, Count::one(&counted.ip));
    }
}

type Counts = HashMap<Key, Count>;

/// What is counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// Requests from one network, in one minute.
    Requests {
        network: String,
        reason: Reason,
        method: &'static str,
        minute: Timestamp,
    },
    /// Sign-ins of one person, in one minute.
    SignIns {
        user: UserId,
        reason: Reason,
        minute: Timestamp,
    },
    /// What came when there was no room to tell it apart, of either.
    Others(Reason),
}

impl Key {
    const fn reason(&self) -> Reason {
        match self {
            Self::Requests { reason, .. } | Self::SignIns { reason, .. } | Self::Others(reason) => {
                *reason
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Count {
    many: u64,
    /// Where the first one came from.
    ip: String,
}

impl Count {
    fn one(ip: &str) -> Self {
        Self {
            many: 1,
            ip: ip.to_owned(),
        }
    }
}

/// The minute that it is, by its beginning.
fn this_minute() -> Timestamp {
    let now = tenantry_core::clock::now().as_second();
    Timestamp::from_second(now - now.rem_euclid(60)).unwrap_or_default()
}

fn add(counts: &mut Counts, key: Key, more: Count) {
    let key = if counts.len() < MOST || counts.contains_key(&key) {
        key
    } else {
        Key::Others(key.reason())
    };
    counts
        .entry(key)
        .and_modify(|count| count.many = count.many.saturating_add(more.many))
        .or_insert(more);
}

/// The event that tells a count.
fn event(key: &Key, count: &Count) -> Event {
    let many = count.many;
    let refused = ("requests.refused", "request", Uuid::nil());
    let ((action, kind, id), after) = match key {
        Key::Requests { method, minute, .. } => (
            refused,
            json!({ "count": many, "method": method, "minute": minute }),
        ),
        Key::SignIns { user, minute, .. } => (
            ("session.denied", "user", user.uuid()),
            json!({ "count": many, "minute": minute }),
        ),
        Key::Others(_) => (refused, json!({ "count": many })),
    };
    let nobody = RequestContext {
        principal: Principal::anonymous(),
        origin: Origin {
            ip: match key {
                Key::Others(_) => String::new(),
                Key::Requests { .. } | Key::SignIns { .. } => count.ip.clone(),
            },
            ..Origin::default()
        },
        ..RequestContext::of_service("", Permissions::NONE)
    };
    Event {
        outcome: outcome(key),
        reason: key.reason().word().to_owned(),
        ..Event::of(&nobody, action, kind, id, Value::Null, after)
    }
}

fn outcome(key: &Key) -> Outcome {
    match key {
        Key::SignIns { .. } => Outcome::Denied,
        Key::Requests { reason, .. } | Key::Others(reason) => {
            tenantry_rpc::attempts::outcome(*reason)
        }
    }
}

#[cfg(test)]
mod tests;

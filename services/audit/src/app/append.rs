//! Taking events of the fleet's services into the log: each number of each stream once, in order, without a gap.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use jiff::Timestamp;
use metrics::counter;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tenantry_core::TenantId;
use tenantry_core::event::Event;
use tenantry_store::AcrossTx;

use super::App;
use super::keeping::Keeping;
use crate::domain::entry::{self, Entry, Origin};
use crate::domain::stream::{Decision, Source};
use crate::error::Error;
use crate::store::append::{self, Placed};
use crate::store::sources::{self, Digests, Repeated};

/// Name of this service, which raises alarms.
pub(crate) const OWN: &str = "audit";

/// A batch of one tenant's events, as its source told them.
#[derive(Debug)]
pub(crate) struct Pushed {
    pub(crate) tenant: TenantId,
    pub(crate) first_n: i64,
    pub(crate) events: Vec<Told>,
}

/// One event, as its source told it.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) at: Timestamp,
    pub(crate) bytes: Vec<u8>,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Taken,
    Gap,
    Stopped,
}

/// What became of a stream, and what it expects next.
pub(crate) type Answer = (TenantId, Outcome, i64);

/// Why a stream is stopped.
#[derive(Clone, Copy, Debug)]
enum Alarm {
    /// A number came again with another content.
    Differs,
    /// An event can't be read.
    Unreadable,
}

impl Alarm {
    const fn name(self) -> &'static str {
        match self {
            Self::Differs => "content_differs",
            Self::Unreadable => "unreadable",
        }
    }
}

/// A stream whose events are ready to be appended, up to the first that can't be read.
struct Ready {
    pushed: Pushed,
    epoch: i32,
    entries: Vec<Entry>,
}

impl App {
    /// Takes batches of a source, at most one of each tenant, in one transaction.
    pub(crate) async fn append(
        &self,
        source: &str,
        streams: Vec<Pushed>,
    ) -> Result<Vec<Answer>, Error> {
        let tenants: Vec<_> = streams.iter().map(|stream| stream.tenant).collect();
        // Leaves are made before anyone waits for the head; their epoch is looked at again under its lock.
        let mut tx = self.store.platform().await?;
        let known = sources::of(tx.conn(), source, &tenants).await?;
        drop(tx);
        let ready = prepare(source, streams, known).await?;
        let mut tx = self.store.across(TenantId::PLATFORM).await?;
        let head = append::lock_head(tx.conn()).await?;
        let known = sources::of(tx.conn(), source, &tenants).await?;
        let mut batch = Batch {
            source,
            keeping: self.keeping(tx.conn(), &tenants).await?,
            sizes: append::sizes(tx.conn(), &tenants).await?,
            placed: Vec::new(),
            streams: Vec::new(),
            alarms: Vec::new(),
            answers: Vec::with_capacity(tenants.len()),
        };
        let repeated = repeated(&ready, &known);
        let taken = sources::digests(tx.conn(), source, &repeated).await?;
        for stream in ready {
            let state = known.get(&stream.pushed.tenant).copied();
            batch.take(stream, state.unwrap_or_default(), &taken);
        }
        let answers = batch.write(tx, head).await?;
        self.grown.look();
        Ok(answers)
    }
}

/// Makes the leaves: pure work, away from the threads that serve.
async fn prepare(
    source: &str,
    streams: Vec<Pushed>,
    known: HashMap<TenantId, Source>,
) -> Result<Vec<Ready>, Error> {
    let source = source.to_owned();
    let prepared = tokio::task::spawn_blocking(move || {
        let ready = streams.into_iter().map(|pushed| {
            let epoch = known.get(&pushed.tenant).copied().unwrap_or_default().epoch;
            let entries = entries(&source, epoch, &pushed);
            Ready {
                pushed,
                epoch,
                entries,
            }
        });
        ready.collect()
    });
    prepared
        .await
        .map_err(|_panicked| tenantry_core::Refusal::internal().into())
}

/// The entries of a stream, up to the first event that can't be read. A fault of ours in one is one that can't be read, too: else
/// it would come again with every batch, and all others with it.
fn entries(source: &str, epoch: i32, pushed: &Pushed) -> Vec<Entry> {
    let numbered = pushed.events.iter().zip(pushed.first_n..);
    let made = numbered.map_while(|(told, n)| {
        let origin = Origin {
            tenant: pushed.tenant,
            source,
            epoch,
            n,
            at: told.at,
        };
        let made = catch_unwind(AssertUnwindSafe(|| {
            let event: Event = serde_json::from_slice(&told.bytes).ok()?;
            entry::of_event(&origin, &event, &told.bytes).ok()
        }));
        made.unwrap_or_else(|_panicked| {
            tracing::error!(source, tenant.id = %pushed.tenant, n, "making a leaf panicked");
            None
        })
    });
    made.collect()
}

/// The numbers that come again, and are to be held against what was taken.
fn repeated(ready: &[Ready], known: &HashMap<TenantId, Source>) -> Vec<Repeated> {
    let repeated = ready.iter().filter_map(|stream| {
        let pushed = &stream.pushed;
        let state = known.get(&pushed.tenant)?;
        let Decision::Take { known } = state.decide(pushed.first_n, pushed.events.len()) else {
            return None;
        };
        let until_n = pushed.first_n + i64::try_from(known).ok()?;
        let from_n = pushed.first_n.max(state.first_n);
        (from_n < until_n).then_some(Repeated {
            tenant: pushed.tenant,
            epoch: state.epoch,
            from_n,
            until_n,
        })
    });
    repeated.collect()
}

/// The first of these numbers, which were taken before, that came with another content now. What the log doesn't keep any more, or is
/// erased, can't be held against anything; nor can what an operator left behind with an epoch.
fn differing(tenant: TenantId, first_n: i64, told: &[Told], taken: &Digests) -> Option<i64> {
    let mut numbered = told.iter().zip(first_n..);
    let differs = |(told, n): &(&Told, i64)| {
        let taken = taken.get(&(tenant, *n));
        taken.is_some_and(|taken| taken.as_slice() != Sha256::digest(&told.bytes).as_slice())
    };
    numbered.find(differs).map(|(_, n)| n)
}

/// What one transaction appends.
struct Batch<'a> {
    source: &'a str,
    keeping: Keeping,
    sizes: HashMap<TenantId, i64>,
    placed: Vec<Placed<'a>>,
    streams: Vec<(TenantId, Source)>,
    alarms: Vec<(TenantId, Source, i64, Alarm)>,
    answers: Vec<Answer>,
}

impl Batch<'_> {
    fn take(&mut self, ready: Ready, state: Source, taken: &Digests) {
        let (tenant, first_n) = (ready.pushed.tenant, ready.pushed.first_n);
        let told = &ready.pushed.events;
        let outcome = match state.decide(first_n, told.len()) {
            Decision::Gap => Outcome::Gap,
            Decision::Stopped => Outcome::Stopped,
            // An operator went on with the stream just now: the source comes again.
            Decision::Take { .. } if state.epoch != ready.epoch => Outcome::Gap,
            Decision::Take { known } => {
                if let Some(n) = differing(tenant, first_n, &told[..known], taken) {
                    self.alarms.push((tenant, state, n, Alarm::Differs));
                    Outcome::Stopped
                } else {
                    let unread = ready.entries.len() < told.len();
                    let after = self.place((tenant, state), ready.entries, known);
                    if !unread {
                        self.answers
                            .push((tenant, Outcome::Taken, after.expected()));
                        return;
                    }
                    let n = after.expected();
                    self.alarms.push((tenant, after, n, Alarm::Unreadable));
                    self.answers.push((tenant, Outcome::Stopped, n));
                    return;
                }
            }
        };
        self.answers.push((tenant, outcome, state.expected()));
    }

    /// Places what is new of a stream's entries; the state after them.
    fn place(
        &mut self,
        (tenant, state): (TenantId, Source),
        entries: Vec<Entry>,
        known: usize,
    ) -> Source {
        let size = self.sizes.entry(tenant).or_default();
        let count = entries.len().saturating_sub(known);
        for entry in entries.into_iter().skip(known) {
            self.placed.push(Placed {
                tenant,
                index: *size,
                class: self.keeping.class(tenant),
                source: self.source,
                epoch: state.epoch,
                entry,
            });
            *size += 1;
        }
        let after = state.after(count);
        self.streams.push((tenant, after));
        after
    }

    async fn write(mut self, mut tx: AcrossTx, head: append::Head) -> Result<Vec<Answer>, Error> {
        let grown: HashMap<_, _> = self
            .streams
            .iter()
            .map(|(tenant, _)| (*tenant, self.sizes[tenant]))
            .collect();
        let count = self.placed.len();
        if !self.placed.is_empty() {
            self.keeping.settle(&mut self.placed)?;
            append::insert(tx.conn(), head, std::mem::take(&mut self.placed)).await?;
            append::grow(tx.conn(), head.now, &grown).await?;
            self.keeping.note(tx.conn()).await?;
            sources::save(tx.conn(), self.source, &self.streams).await?;
        }
        self.raise(&mut tx).await?;
        tx.finish(None, &()).await?;
        counter!("tenantry_audit_events_total").increment(count as u64);
        Ok(self.answers)
    }

    /// Stops streams for which there is an alarm, and tells of it on the platform's stream.
    async fn raise(&self, tx: &mut AcrossTx) -> Result<(), Error> {
        for (tenant, state, n, alarm) in &self.alarms {
            sources::stop(tx.conn(), self.source, *tenant, *state, *n).await?;
            let after = json!({
                "source": self.source, "tenant_id": tenant, "epoch": state.epoch, "stopped_n": n, "why": alarm.name(),
            });
            tracing::error!(source = self.source, tenant.id = %tenant, why = alarm.name(), "a stream is stopped by an alarm");
            counter!("tenantry_audit_alarms_total", "source" => self.source.to_owned())
                .increment(1);
            let (action, kind) = ("audit_source.stopped", "audit_source");
            let event = Event::by_service(OWN, action, kind, tenant.uuid(), Value::Null, after);
            tx.record_all(&[(TenantId::PLATFORM, event)]).await?;
        }
        Ok(())
    }
}

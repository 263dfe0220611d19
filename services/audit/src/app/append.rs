//! Taking events of the fleet's services into the log: each number of each stream once, in order, without a gap.

use std::collections::HashMap;

use jiff::Timestamp;
use metrics::counter;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tenantry_core::TenantId;
use tenantry_core::event::Event;
use tenantry_store::AcrossTx;

use super::App;
use crate::domain::entry::{self, Entry, Origin};
use crate::domain::retention::Class;
use crate::domain::stream::{Decision, Source};
use crate::error::Error;
use crate::store::append::{self, Placed};
use crate::store::sources;

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

/// A stream whose events are ready to be appended, as far as they can be read.
struct Ready {
    pushed: Pushed,
    epoch: i32,
    entries: Result<Vec<Entry>, Alarm>,
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
            sizes: append::sizes(tx.conn(), &tenants).await?,
            placed: Vec::new(),
            streams: Vec::new(),
            alarms: Vec::new(),
            answers: Vec::with_capacity(tenants.len()),
        };
        for stream in ready {
            let state = known.get(&stream.pushed.tenant).copied();
            let class = Class::of(self.tenants.retention_days(stream.pushed.tenant));
            batch
                .take(&mut tx, stream, state.unwrap_or_default(), class)
                .await?;
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

fn entries(source: &str, epoch: i32, pushed: &Pushed) -> Result<Vec<Entry>, Alarm> {
    let numbered = pushed.events.iter().zip(pushed.first_n..);
    numbered
        .map(|(told, n)| {
            let origin = Origin {
                tenant: pushed.tenant,
                source,
                epoch,
                n,
                at: told.at,
            };
            let event: Event =
                serde_json::from_slice(&told.bytes).map_err(|_| Alarm::Unreadable)?;
            entry::of_event(&origin, &event, &told.bytes).map_err(|_| Alarm::Unreadable)
        })
        .collect()
}

/// What one transaction appends.
struct Batch<'a> {
    source: &'a str,
    sizes: HashMap<TenantId, i64>,
    placed: Vec<Placed<'a>>,
    streams: Vec<(TenantId, Source)>,
    alarms: Vec<(TenantId, Source, Alarm)>,
    answers: Vec<Answer>,
}

impl Batch<'_> {
    async fn take(
        &mut self,
        tx: &mut AcrossTx,
        ready: Ready,
        state: Source,
        class: Class,
    ) -> Result<(), Error> {
        let Pushed {
            tenant,
            first_n,
            events,
        } = ready.pushed;
        let outcome = match state.decide(first_n, events.len()) {
            Decision::Gap => Outcome::Gap,
            Decision::Stopped => Outcome::Stopped,
            Decision::Take { known } => {
                let same = self.same(tx, (tenant, state), first_n, &events[..known]);
                if !same.await? {
                    self.alarms.push((tenant, state, Alarm::Differs));
                    Outcome::Stopped
                } else if state.epoch != ready.epoch {
                    // An operator went on with the stream just now: the source comes again.
                    Outcome::Gap
                } else {
                    match ready.entries {
                        Ok(entries) => {
                            self.place((tenant, state), class, entries, known);
                            return Ok(());
                        }
                        Err(alarm) => {
                            self.alarms.push((tenant, state, alarm));
                            Outcome::Stopped
                        }
                    }
                }
            }
        };
        self.answers.push((tenant, outcome, state.expected()));
        Ok(())
    }

    /// Whether these events, which were taken before, are what was taken.
    async fn same(
        &self,
        tx: &mut AcrossTx,
        (tenant, state): (TenantId, Source),
        first_n: i64,
        events: &[Told],
    ) -> Result<bool, Error> {
        if events.is_empty() {
            return Ok(true);
        }
        let stream = (tenant, self.source, state.epoch);
        let count = state.expected() - first_n;
        let digests = sources::digests(tx.conn(), stream, first_n, count).await?;
        let mut numbered = events.iter().zip(first_n..);
        // What the log doesn't keep any more can't be held against anything.
        Ok(numbered.all(|(told, n)| {
            let taken = digests.get(&n);
            taken.is_none_or(|taken| taken.as_slice() == Sha256::digest(&told.bytes).as_slice())
        }))
    }

    fn place(
        &mut self,
        (tenant, state): (TenantId, Source),
        class: Class,
        entries: Vec<Entry>,
        known: usize,
    ) {
        let size = self.sizes.entry(tenant).or_default();
        let count = entries.len() - known;
        for entry in entries.into_iter().skip(known) {
            self.placed.push(Placed {
                tenant,
                index: *size,
                class,
                source: self.source,
                epoch: state.epoch,
                entry,
            });
            *size += 1;
        }
        let after = state.after(count);
        self.streams.push((tenant, after));
        self.answers
            .push((tenant, Outcome::Taken, after.expected()));
    }

    async fn write(mut self, mut tx: AcrossTx, head: append::Head) -> Result<Vec<Answer>, Error> {
        let grown: HashMap<_, _> = self
            .streams
            .iter()
            .map(|(tenant, _)| (*tenant, self.sizes[tenant]))
            .collect();
        let count = self.placed.len();
        if !self.placed.is_empty() {
            append::insert(tx.conn(), head, std::mem::take(&mut self.placed)).await?;
            append::grow(tx.conn(), head.now, &grown).await?;
            sources::save(tx.conn(), self.source, &self.streams).await?;
        }
        self.raise(&mut tx).await?;
        tx.finish(None, &()).await?;
        counter!("tenantry_audit_events_total").increment(count as u64);
        Ok(self.answers)
    }

    /// Stops streams for which there is an alarm, and tells of it on the platform's stream.
    async fn raise(&self, tx: &mut AcrossTx) -> Result<(), Error> {
        for (tenant, state, alarm) in &self.alarms {
            sources::stop(tx.conn(), self.source, *tenant, *state).await?;
            let after = json!({
                "source": self.source, "tenant_id": tenant, "epoch": state.epoch, "expected_n": state.expected(),
                "why": alarm.name(),
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

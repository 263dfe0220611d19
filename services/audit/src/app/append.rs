//! Taking events of the fleet's services into the log: each number of each stream once, in order, without a gap.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use jiff::Timestamp;
use metrics::counter;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use tenantry_core::TenantId;
use tenantry_core::event::Event;
use tenantry_store::AcrossTx;

use super::keeping::Keeping;
use super::{App, away};
use crate::domain::entry::{self, Entry, Origin};
use crate::domain::stream::{Decision, Source};
use crate::error::Error;
use crate::store::append::{self, Placed};
use crate::store::events;
use crate::store::sources::{self, Digests, Repeated};

/// Name of this service, which raises alarms.
pub(crate) const OWN: &str = "audit";
/// How far from the last event of its stream a number that comes again is looked for. What comes again was mostly taken just
/// now; farther back it is only where a source's database was set back.
const LOOK_BACK: i64 = 1_000_000;

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
    /// A number came again so late that it isn't found out with what it was taken.
    Late,
    /// An event can't be read.
    Unreadable,
}

impl Alarm {
    const fn name(self) -> &'static str {
        match self {
            Self::Differs => "content_differs",
            Self::Late => "repeated_late",
            Self::Unreadable => "unreadable",
        }
    }
}

/// A stream whose events are ready to be appended, but for those that can't be read.
struct Ready {
    pushed: Pushed,
    epoch: i32,
    entries: Vec<Option<Entry>>,
}

/// What was taken before under numbers that come again.
#[derive(Debug, Default)]
struct Before {
    looked: Vec<Repeated>,
    digests: Digests,
}

impl App {
    /// Takes batches of a source, at most one of each tenant, in one transaction.
    pub(crate) async fn append(
        &self,
        source: &str,
        streams: Vec<Pushed>,
    ) -> Result<Vec<Answer>, Error> {
        let tenants: Vec<_> = streams.iter().map(|stream| stream.tenant).collect();
        // Leaves are made, and what was taken before is looked for, before anyone waits for the head; the epoch is looked at again
        // under its lock, and so is what came in between.
        let mut tx = self.store.across(TenantId::PLATFORM).await?;
        let known = sources::of(tx.conn(), source, &tenants).await?;
        let mut before = Before::default();
        let again = repeated(streams.iter(), &known);
        self.look_back(tx.conn(), source, again, &mut before)
            .await?;
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
        let again = repeated(ready.iter().map(|stream| &stream.pushed), &known);
        let again = before.others(again);
        self.look_back(tx.conn(), source, again, &mut before)
            .await?;
        for stream in ready {
            let state = known.get(&stream.pushed.tenant).copied();
            batch.take(stream, state.unwrap_or_default(), &before);
        }
        let answers = batch.write(tx, head).await?;
        self.grown.look();
        Ok(answers)
    }

    /// Looks for what was taken under numbers that come again. Of a purged log there is nothing left to hold them against.
    async fn look_back(
        &self,
        conn: &mut PgConnection,
        source: &str,
        mut again: Vec<Repeated>,
        before: &mut Before,
    ) -> Result<(), Error> {
        if again.is_empty() {
            return Ok(());
        }
        let tenants: Vec<_> = again.iter().map(|one| one.tenant).collect();
        let keeping = self.keeping(conn, &tenants).await?;
        again.retain(|one| !keeping.purged(one.tenant));
        events::steady_plans(conn).await?;
        let digests = sources::digests(conn, source, &again).await?;
        before.digests.extend(digests);
        before.looked.extend(again);
        Ok(())
    }
}

/// Makes the leaves: pure work, away from the threads that serve.
async fn prepare(
    source: &str,
    streams: Vec<Pushed>,
    known: HashMap<TenantId, Source>,
) -> Result<Vec<Ready>, Error> {
    let source = source.to_owned();
    away(move || {
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
    })
    .await
}

/// The entries of a stream, and nothing for an event that can't be read. A fault of ours in one is one that can't be read, too: else
/// it would come again with every batch, and all others with it.
fn entries(source: &str, epoch: i32, pushed: &Pushed) -> Vec<Option<Entry>> {
    let numbered = pushed.events.iter().zip(pushed.first_n..);
    let made = numbered.map(|(told, n)| {
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
fn repeated<'a>(
    streams: impl Iterator<Item = &'a Pushed>,
    known: &HashMap<TenantId, Source>,
) -> Vec<Repeated> {
    let repeated = streams.filter_map(|pushed| {
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
            last_index: state.last_index,
            from_index: (state.last_index - LOOK_BACK).max(0),
        })
    });
    repeated.collect()
}

impl Before {
    /// Those of these numbers that weren't looked for yet, which are the last ones of each stream.
    fn others(&self, again: Vec<Repeated>) -> Vec<Repeated> {
        let looked = self.looked.iter();
        let looked: HashMap<_, _> = looked
            .map(|one| ((one.tenant, one.epoch), one.until_n))
            .collect();
        let others = again.into_iter().filter_map(|one| {
            let until_n = looked.get(&(one.tenant, one.epoch)).copied();
            let from_n = until_n.map_or(one.from_n, |until_n| until_n.max(one.from_n));
            (from_n < one.until_n).then_some(Repeated { from_n, ..one })
        });
        others.collect()
    }

    /// The first of these numbers, which were taken before, that comes with another content now, or so late that nobody knows. What
    /// the log doesn't keep any more, or is erased, can't be held against anything; nor can what an operator left behind with an
    /// epoch.
    fn differing(&self, tenant: TenantId, first_n: i64, told: &[Told]) -> Option<(i64, Alarm)> {
        let mut numbered = told.iter().zip(first_n..);
        numbered.find_map(|(told, n)| {
            let alarm = match self.digests.get(&(tenant, n)) {
                Some(taken) if taken.is_empty() => None,
                Some(taken) => {
                    let same = taken.as_slice() == Sha256::digest(&told.bytes).as_slice();
                    (!same).then_some(Alarm::Differs)
                }
                None => self.is_out_of_sight(tenant, n).then_some(Alarm::Late),
            };
            alarm.map(|alarm| (n, alarm))
        })
    }

    /// Whether a number that wasn't found may be farther back than was looked.
    fn is_out_of_sight(&self, tenant: TenantId, n: i64) -> bool {
        let mut looked = self.looked.iter();
        looked.any(|one| {
            one.tenant == tenant && one.from_index > 0 && (one.from_n..one.until_n).contains(&n)
        })
    }
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
    fn take(&mut self, ready: Ready, state: Source, before: &Before) {
        let (tenant, first_n) = (ready.pushed.tenant, ready.pushed.first_n);
        let told = &ready.pushed.events;
        let outcome = match state.decide(first_n, told.len()) {
            Decision::Gap => Outcome::Gap,
            Decision::Stopped => Outcome::Stopped,
            // An operator went on with the stream just now: the source comes again.
            Decision::Take { .. } if state.epoch != ready.epoch => Outcome::Gap,
            Decision::Take { known } => {
                if let Some((n, alarm)) = before.differing(tenant, first_n, &told[..known]) {
                    self.alarms.push((tenant, state, n, alarm));
                    Outcome::Stopped
                } else {
                    // What can't be read counts among what is new alone: the others were taken, or left out by an operator.
                    let new = ready.entries.into_iter().skip(known);
                    let new: Vec<_> = new.map_while(|entry| entry).collect();
                    let unread = known + new.len() < told.len();
                    let after = self.place((tenant, state), new);
                    let n = after.expected();
                    let outcome = if unread {
                        self.alarms.push((tenant, after, n, Alarm::Unreadable));
                        Outcome::Stopped
                    } else {
                        Outcome::Taken
                    };
                    self.answers.push((tenant, outcome, n));
                    return;
                }
            }
        };
        self.answers.push((tenant, outcome, state.expected()));
    }

    /// Places what is new of a stream; the state after it.
    fn place(&mut self, (tenant, state): (TenantId, Source), new: Vec<Entry>) -> Source {
        let size = self.sizes.entry(tenant).or_default();
        let count = new.len();
        for entry in new {
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
        let after = state.after(count, *size);
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

//! Commits entries: many in one transaction, each once for its key. Whoever waits for theirs is answered when it is
//! there for good.

use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use sqlx::PgConnection;
use tenantry_core::{ReservationId, TenantId};
use tenantry_rpc::Tasks;
use tenantry_store::Store;
use tokio::sync::{mpsc, oneshot};

use super::ledger::Ledger;
use crate::domain::account::AccountId;
use crate::domain::entry::{Accounts, Counted, Entry, Posted};
use crate::domain::reservation::{Reserving, Status};
use crate::error::Error;
use crate::store::usage::{self, Kept};
use crate::store::{accounts, reservations, series};

/// Connections that commit at the same time. Entries of one tree go to one, so that they don't wait for each other's rows.
const WRITERS: usize = 2;
/// Most entries that wait for one of them; those beyond it wait to wait.
const WAITING: usize = 4_096;
/// Most entries of one transaction.
const BATCH: usize = 1_000;
/// How often a batch is tried: others commit one of its keys meanwhile, a tenant is purged, or the database takes it for the victim
/// of a deadlock.
pub(super) const TURNS: usize = 5;

/// An entry to be committed, and what it makes of a reservation.
#[derive(Debug)]
pub(super) struct Commission {
    pub(super) entry: Entry,
    pub(super) reserving: Option<Reserving>,
}

impl Commission {
    /// Whether it is in the log of one of these tenants.
    fn is_of(&self, tenants: &BTreeSet<TenantId>) -> bool {
        tenants.contains(&self.entry.key.0)
    }

    fn accounts(&self) -> impl Iterator<Item = &AccountId> {
        let lines = self.entry.lines.iter();
        lines.flat_map(|line| line.parts.iter().map(|part| &part.account))
    }

    /// The reservation that it is about.
    fn reservation(&self) -> Option<(TenantId, ReservationId)> {
        let reserving = self.reserving.as_ref()?;
        Some((self.entry.key.0, reserving.id()))
    }
}

/// What became of an entry.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// Its accounts say so.
    Posted(Posted),
    /// It was there already, line by line.
    Again(Vec<Kept>),
    /// It doesn't count: the reservation isn't held, but is this, if it is there at all.
    NotHeld(Option<Status>),
}

type Waiting = (Commission, oneshot::Sender<Result<Outcome, Error>>);

/// Takes entries to commit. Clones share the writers.
#[derive(Clone, Debug)]
pub(super) struct Committer {
    writers: Vec<mpsc::Sender<Waiting>>,
}

impl Committer {
    /// Starts the writers. They end by cancellation: what waits then isn't committed, and nobody was told that it is.
    pub(super) fn start(store: &Store, ledger: &Ledger, tasks: &Tasks) -> Self {
        let store = store.apart(u32::try_from(WRITERS).unwrap_or(u32::MAX));
        let writers = (0..WRITERS).map(|_| {
            let (sender, receiver) = mpsc::channel(WAITING);
            let writer = Writer {
                store: store.clone(),
                ledger: ledger.clone(),
            };
            tasks.keep("commits of usage", writer.run(receiver, tasks.clone()));
            sender
        });
        Self {
            writers: writers.collect(),
        }
    }

    /// Commits an entry of a tree of tenants.
    pub(super) async fn commit(
        &self,
        commission: Commission,
        root: TenantId,
    ) -> Result<Outcome, Error> {
        let (sender, receiver) = oneshot::channel();
        let places = self.writers.len() as u128;
        let writer = usize::try_from(root.uuid().as_u128() % places).unwrap_or_default();
        let ended = |_| Error::from(tenantry_core::Refusal::unavailable());
        let sent = self.writers[writer].send((commission, sender)).await;
        sent.map_err(|_closed| tenantry_core::Refusal::unavailable())?;
        receiver.await.map_err(ended)?
    }
}

struct Writer {
    store: Store,
    ledger: Ledger,
}

impl Writer {
    async fn run(self, mut receiver: mpsc::Receiver<Waiting>, tasks: Tasks) {
        let mut batch: Vec<Waiting> = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                () = tasks.cancelled() => return,
                received = receiver.recv_many(&mut batch, BATCH) => if received == 0 { return },
            }
            while !batch.is_empty() {
                batch = self.write(batch).await;
                // What has to wait for one of its kind doesn't hold up others.
                while !batch.is_empty() && batch.len() < BATCH {
                    let Ok(next) = receiver.try_recv() else { break };
                    batch.push(next);
                }
            }
        }
    }

    /// Commits a batch, but for what has the key of another entry in it, or is about the same reservation: that is returned, for the
    /// next one.
    async fn write(&self, batch: Vec<Waiting>) -> Vec<Waiting> {
        let (mut keys, mut reservations) = (HashSet::new(), HashSet::new());
        let (now, later): (Vec<_>, Vec<_>) = batch.into_iter().partition(|(commission, _)| {
            let reservation = commission.reservation();
            !reservation.is_some_and(|id| reservations.contains(&id))
                && keys.insert(commission.entry.key.clone())
                && reservation.is_none_or(|id| reservations.insert(id))
        });
        let (commissions, replies): (Vec<_>, Vec<_>) = now.into_iter().unzip();
        match self.commit(&commissions).await {
            Ok(outcomes) => {
                for (reply, outcome) in replies.into_iter().zip(outcomes) {
                    // Whoever asked may have gone: it counts all the same.
                    let _ = reply.send(Ok(outcome));
                }
            }
            Err(error) => {
                tracing::warn!(error = %error, entries = commissions.len(), "usage can't be committed");
                let away = matches!(
                    error,
                    Error::Store(tenantry_store::Error::Unavailable(_)) | Error::Refused(_)
                );
                let singly = !away && commissions.len() > 1;
                for (commission, reply) in commissions.into_iter().zip(replies) {
                    // One that can't be committed at all takes no other with it.
                    let alone = if singly {
                        self.commit(&[commission]).await.ok()
                    } else {
                        None
                    };
                    let outcome = alone.and_then(|mut outcomes| outcomes.pop());
                    let unavailable = || tenantry_core::Refusal::unavailable().into();
                    let _ = reply.send(outcome.ok_or_else(unavailable));
                }
            }
        }
        later
    }

    async fn commit(&self, commissions: &[Commission]) -> Result<Vec<Outcome>, Error> {
        let mut closed = BTreeSet::new();
        for turn in 1..=TURNS {
            match self.try_commit(commissions, &mut closed).await {
                Ok(Some(outcomes)) => return Ok(outcomes),
                Ok(None) => {}
                Err(Error::Store(error @ tenantry_store::Error::Unavailable(_)))
                    if turn < TURNS =>
                {
                    tracing::info!(error = %error, turn, "a batch of usage is tried again");
                }
                Err(error) => return Err(error),
            }
        }
        Err(tenantry_core::Refusal::unavailable().into())
    }

    /// One transaction; nothing where another one committed a key of it at the same time, or began to purge one of its tenants.
    async fn try_commit(
        &self,
        commissions: &[Commission],
        closed: &mut BTreeSet<TenantId>,
    ) -> Result<Option<Vec<Outcome>>, Error> {
        let mut tx = self.store.across(TenantId::PLATFORM).await?;
        let ids: BTreeSet<_> = commissions.iter().flat_map(Commission::accounts).collect();
        let mut locked = accounts::lock(tx.conn(), ids).await?;
        // Nothing is counted any more in those of a tenant that is purged.
        locked.retain(|account| !closed.contains(&account.id.tenant));
        let reservations: BTreeSet<_> = commissions
            .iter()
            .filter_map(Commission::reservation)
            .collect();
        let reservations: Vec<_> = reservations.into_iter().collect();
        let statuses: HashMap<_, _> = match reservations.as_slice() {
            [] => HashMap::new(),
            ids => {
                let statuses = reservations::lock(tx.conn(), ids).await?;
                statuses.into_iter().collect()
            }
        };
        let keys: Vec<_> = commissions
            .iter()
            .map(|commission| &commission.entry.key)
            .collect();
        let mut kept: HashMap<_, Vec<Kept>> = HashMap::new();
        for (key, line) in usage::kept(tx.conn(), &keys).await? {
            kept.entry(key).or_default().push(line);
        }
        let now = accounts::now(tx.conn()).await?;
        let mut accounts = Accounts::new(locked);
        let mut outcomes = Vec::with_capacity(commissions.len());
        for commission in commissions {
            let status = commission
                .reservation()
                .and_then(|id| statuses.get(&id).copied());
            let entry = &commission.entry;
            outcomes.push(match (kept.remove(&entry.key), &commission.reserving) {
                (Some(kept), _) => Outcome::Again(kept),
                (None, _) if commission.is_of(closed) => Outcome::Posted(Posted::Ended),
                (None, Some(Reserving::Make(_))) if status.is_some() => Outcome::NotHeld(status),
                (None, Some(Reserving::End(ending)))
                    if !status.is_some_and(|status| ending.is_of(status)) =>
                {
                    Outcome::NotHeld(status)
                }
                (None, _) => Outcome::Posted(accounts.post(entry, now)),
            });
        }
        let done = Done::of(commissions, &outcomes);
        if done.0.is_empty() && accounts.alerts().is_empty() {
            return Ok(Some(outcomes));
        }
        if !done.keep(tx.conn(), now).await? {
            return Ok(None);
        }
        let further = done.tenants();
        let gone = self
            .ledger
            .keep(&mut tx, &mut accounts, (further, Vec::new()));
        let gone = gone.await?;
        if !gone.is_empty() {
            closed.extend(gone);
            return Ok(None);
        }
        tx.finish(None, &()).await?;
        self.ledger.free(accounts.freed()).await;
        Ok(Some(outcomes))
    }
}

/// What was counted, in the order of the keys.
struct Done<'a>(Vec<(&'a Commission, &'a [Counted])>);

impl<'a> Done<'a> {
    fn of(commissions: &'a [Commission], outcomes: &'a [Outcome]) -> Self {
        let done = commissions.iter().zip(outcomes);
        let done = done.filter_map(|(commission, outcome)| match outcome {
            Outcome::Posted(Posted::Done(counted)) => Some((commission, counted.as_slice())),
            _ => None,
        });
        let mut done: Vec<_> = done.collect();
        done.sort_by(|(one, _), (other, _)| one.entry.key.cmp(&other.entry.key));
        Self(done)
    }

    /// Those whose log or reservations it is in.
    fn tenants(&self) -> impl Iterator<Item = TenantId> {
        self.0.iter().map(|(commission, _)| commission.entry.key.0)
    }

    /// Writes the log, what it adds up to, and the reservations; false where another one committed a key, or made one of the
    /// reservations, meanwhile.
    async fn keep(&self, conn: &mut PgConnection, now: Timestamp) -> Result<bool, Error> {
        let entries: Vec<_> = self
            .0
            .iter()
            .map(|(commission, counted)| (&commission.entry, *counted))
            .collect();
        if entries.is_empty() {
            return Ok(true);
        }
        let lines: usize = entries.iter().map(|(_, counted)| counted.len()).sum();
        if usage::insert(conn, &entries, now).await? < lines as u64 {
            return Ok(false);
        }
        let mut sums = series::Sums::default();
        for (entry, counted) in &entries {
            let at = entry.occurred_at.unwrap_or(now);
            for line in *counted {
                sums.add(entry.key.0, &line.resource_type, at, line.amount);
            }
        }
        series::add(conn, &sums).await?;
        for (commission, _) in &self.0 {
            let tenant = commission.entry.key.0;
            let kept = match &commission.reserving {
                None => true,
                Some(Reserving::Make(new)) => reservations::insert(conn, tenant, new, now).await?,
                Some(Reserving::End(ending)) => {
                    reservations::end(conn, tenant, ending, now).await?;
                    true
                }
            };
            if !kept {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

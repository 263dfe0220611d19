//! Commits what was used: many uses in one transaction, each once for its key. Whoever waits for theirs is answered when it is
//! there for good.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use serde_json::Value;
use tenantry_core::TenantId;
use tenantry_rpc::Tasks;
use tenantry_store::Store;
use tokio::sync::{mpsc, oneshot};

use crate::domain::account::{Account, AccountId, Committing};
use crate::domain::decision::{Standing, binding};
use crate::error::Error;
use crate::store::accounts;
use crate::store::usage::{self, Kept, Record};

/// Connections that commit at the same time. Uses of one tree go to one, so that they don't wait for each other's rows.
const WRITERS: usize = 2;
/// Most uses that wait for one of them; those beyond it wait to wait.
const WAITING: usize = 4_096;
/// Most uses of one transaction.
const BATCH: usize = 1_000;
/// How often a batch is tried: others commit one of its keys meanwhile, a tenant is purged, or the database takes it for the victim
/// of a deadlock.
const TURNS: usize = 5;

/// A use to be committed.
#[derive(Debug)]
pub(super) struct Use {
    /// What is kept of it, but for the answer.
    pub(super) record: Record,
    /// What it counts in.
    pub(super) parts: Vec<Part>,
}

impl Use {
    /// Whether it counts in an account of one of these tenants.
    fn is_of(&self, tenants: &BTreeSet<TenantId>) -> bool {
        let mut parts = self.parts.iter();
        parts.any(|part| tenants.contains(&part.account.tenant))
    }
}

/// What a use counts in one account.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) account: AccountId,
    /// The opening that it was spent of; none where it counts in the ledger alone.
    pub(super) opening: Option<String>,
    /// The limit that it was decided by.
    pub(super) limit: Option<i64>,
    /// What its counter was spent fast.
    pub(super) fast: i64,
}

/// What became of a use.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It counts, and this is how its limits stand.
    Done(Standing),
    /// It was there already.
    Again(Kept),
    /// It doesn't count: what it was spent of has ended.
    Ended,
    /// It doesn't count: this limit doesn't have so much.
    Full(Standing),
}

type Waiting = (Use, oneshot::Sender<Result<Outcome, Error>>);

/// Takes uses to commit. Clones share the writers.
#[derive(Clone, Debug)]
pub(super) struct Committer {
    writers: Vec<mpsc::Sender<Waiting>>,
}

impl Committer {
    /// Starts the writers. They end by cancellation: what waits then isn't committed, and nobody was told that it is.
    pub(super) fn start(store: &Store, tasks: &Tasks) -> Self {
        let store = store.apart(u32::try_from(WRITERS).unwrap_or(u32::MAX));
        let writers = (0..WRITERS).map(|_| {
            let (sender, receiver) = mpsc::channel(WAITING);
            let writer = Writer {
                store: store.clone(),
            };
            tasks.keep("commits of usage", writer.run(receiver, tasks.clone()));
            sender
        });
        Self {
            writers: writers.collect(),
        }
    }

    /// Commits a use.
    pub(super) async fn commit(&self, used: Use, root: TenantId) -> Result<Outcome, Error> {
        let (sender, receiver) = oneshot::channel();
        let places = self.writers.len() as u128;
        let writer = usize::try_from(root.uuid().as_u128() % places).unwrap_or_default();
        let ended = |_| Error::from(tenantry_core::Refusal::unavailable());
        let sent = self.writers[writer].send((used, sender)).await;
        sent.map_err(|_closed| tenantry_core::Refusal::unavailable())?;
        receiver.await.map_err(ended)?
    }
}

struct Writer {
    store: Store,
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
            }
        }
    }

    /// Commits a batch, but for what has the key of another use in it: that is returned, for the next one.
    async fn write(&self, batch: Vec<Waiting>) -> Vec<Waiting> {
        let mut keys = HashSet::new();
        let (now, later): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .partition(|(used, _)| keys.insert(used.record.key.clone()));
        let (mut uses, replies): (Vec<_>, Vec<_>) = now.into_iter().unzip();
        match self.commit(&mut uses).await {
            Ok(outcomes) => {
                for (reply, outcome) in replies.into_iter().zip(outcomes) {
                    // Whoever asked may have gone: it counts all the same.
                    let _ = reply.send(Ok(outcome));
                }
            }
            Err(error) => {
                tracing::warn!(error = %error, uses = uses.len(), "usage can't be committed");
                for reply in replies {
                    let _ = reply.send(Err(tenantry_core::Refusal::unavailable().into()));
                }
            }
        }
        later
    }

    async fn commit(&self, uses: &mut [Use]) -> Result<Vec<Outcome>, Error> {
        let mut closed = BTreeSet::new();
        for turn in 1..=TURNS {
            match self.try_commit(uses, &mut closed).await {
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
        uses: &mut [Use],
        closed: &mut BTreeSet<TenantId>,
    ) -> Result<Option<Vec<Outcome>>, Error> {
        let mut tx = self.store.platform().await?;
        let ids: BTreeSet<_> = uses
            .iter()
            .flat_map(|used| &used.parts)
            .map(|part| &part.account)
            .collect();
        let locked = accounts::lock(tx.conn(), ids.iter().copied()).await?;
        let keys: Vec<_> = uses.iter().map(|used| &used.record.key).collect();
        let kept: HashMap<_, _> = usage::kept(tx.conn(), &keys).await?.into_iter().collect();
        let mut accounts: BTreeMap<AccountId, Account> = locked
            .into_iter()
            .map(|account| (account.id.clone(), account))
            .collect();
        let now = accounts::now(tx.conn()).await?;
        let mut changed = BTreeSet::new();
        let mut outcomes = Vec::with_capacity(uses.len());
        for used in &mut *uses {
            outcomes.push(match kept.get(&used.record.key) {
                Some(kept) => Outcome::Again(kept.clone()),
                None if used.is_of(closed) => Outcome::Ended,
                None => decide(used, &mut accounts, &mut changed, now)?,
            });
        }
        let mut records: Vec<_> = uses
            .iter()
            .zip(&outcomes)
            .filter(|(_, outcome)| matches!(outcome, Outcome::Done(_)))
            .map(|(used, _)| &used.record)
            .collect();
        records.sort_by(|one, other| one.key.cmp(&other.key));
        if !records.is_empty() {
            let inserted = usage::insert(tx.conn(), &records).await?;
            if inserted.len() < records.len() {
                return Ok(None);
            }
            let changed = changed.iter().filter_map(|id| accounts.get(id));
            accounts::save_used(tx.conn(), changed.clone()).await?;
            let tenants: BTreeSet<_> = changed.map(|account| account.id.tenant).collect();
            let tenants: Vec<_> = tenants.into_iter().collect();
            let open = usage::open_tenants(tx.conn(), &tenants).await?;
            if open.len() < tenants.len() {
                closed.extend(tenants.into_iter().filter(|tenant| !open.contains(tenant)));
                return Ok(None);
            }
            tx.commit().await?;
        }
        Ok(Some(outcomes))
    }
}

/// Counts a use in its accounts, in all of them or in none.
fn decide(
    used: &mut Use,
    accounts: &mut BTreeMap<AccountId, Account>,
    changed: &mut BTreeSet<AccountId>,
    now: Timestamp,
) -> Result<Outcome, Error> {
    let amount = used.record.amount;
    let mut after = Vec::with_capacity(used.parts.len());
    let mut standings = Vec::with_capacity(used.parts.len());
    for part in &used.parts {
        let Some(account) = accounts.get(&part.account) else {
            return Ok(Outcome::Ended);
        };
        let mut account = account.clone();
        let decided_by = (part.opening.as_deref(), part.limit);
        let committing = account.commit(decided_by, amount, now);
        // What others have spent and not committed isn't used.
        let standing = Standing {
            tenant: account.id.tenant,
            limit: account.limit,
            usage: account.used().saturating_add(part.fast),
            reset_period: account.id.reset_period,
            reset_at: account.window.end,
        };
        match committing {
            Committing::Done => {}
            Committing::Ended => return Ok(Outcome::Ended),
            Committing::Full => return Ok(Outcome::Full(standing)),
        }
        after.push(account);
        standings.push(standing);
    }
    let Some(standing) = binding(standings) else {
        return Ok(Outcome::Ended);
    };
    used.record.answer = serde_json::to_value(standing).map_err(tenantry_store::Error::from)?;
    for account in after {
        changed.insert(account.id.clone());
        accounts.insert(account.id.clone(), account);
    }
    Ok(Outcome::Done(standing))
}

/// A record's answer, before it is known.
pub(super) const UNANSWERED: Value = Value::Null;

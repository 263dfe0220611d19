//! Events of what was used already: taken down as they come, each once for its source and id, and counted in the windows that they
//! happened in, whatever the limits are.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::iter;

use jiff::{Timestamp, ToSpan as _};
use tenantry_core::{Reason, Refusal, TenantId, UsageId, Window};
use tenantry_rpc::tenants::TenantEntry;
use uuid::Uuid;

use super::App;
use super::bounds::Bound;
use super::committing::TURNS;
use super::spending::{Demand, Trying};
use crate::domain::account::AccountId;
use crate::domain::decision::Standing;
use crate::domain::entry::{Accounts, Amount, Change, Entry, Kind, Line, Part, Posted};
use crate::domain::usage_event::{Event, Told};
use crate::error::Error;
use crate::store::{accounts, series, usage};

/// How long ago something may have happened: as long as ids are kept.
const LATE_DAYS: i64 = 35;
/// How far ahead of the database's clock whoever tells may be.
const AHEAD_MINUTES: i64 = 5;
/// Most windows of one limit that the events of a request lie in.
const MOST_WINDOWS: usize = 200;

/// What became of events.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    pub(crate) recorded: usize,
    pub(crate) repeated: usize,
    /// Each with its place and its id.
    pub(crate) refused: Vec<(usize, String, Refusal)>,
}

impl Recorded {
    fn refuse(&mut self, told: &Told, why: Refusal) {
        self.refused.push((told.place, told.id.clone(), why));
    }
}

/// Events that count in the same accounts.
#[derive(Debug)]
struct Group {
    resource_type: String,
    accounts: Vec<AccountId>,
}

/// The windows of a resource type that were looked up, limit by limit.
type Known = Vec<Vec<(Window, AccountId)>>;

impl App {
    /// Takes down events of a tenant, in one transaction.
    pub(crate) async fn record_events(
        &self,
        tenant: &TenantEntry,
        told: &[Told],
    ) -> Result<Recorded, Error> {
        for turn in 1..=TURNS {
            match self.try_to_record(tenant, told).await {
                Ok(Some(recorded)) => return Ok(recorded),
                Ok(None) => {}
                Err(Error::Store(error @ tenantry_store::Error::Unavailable(_)))
                    if turn < TURNS =>
                {
                    tracing::info!(error = %error, turn, "events of usage are taken down again");
                }
                Err(error) => return Err(error),
            }
        }
        Err(Refusal::unavailable().into())
    }

    /// One transaction; nothing where what the events count in has changed meanwhile.
    async fn try_to_record(
        &self,
        tenant: &TenantEntry,
        told: &[Told],
    ) -> Result<Option<Recorded>, Error> {
        let mut recorded = Recorded::default();
        let mut tx = self.store.read(tenant.id).await?;
        let now = accounts::now(tx.conn()).await?;
        drop(tx);
        let timely = timely(&once_each(told, &mut recorded), now, &mut recorded);
        let (events, groups) = self.placed(tenant, (timely, now), &mut recorded).await?;
        if events.is_empty() {
            return Ok(Some(recorded));
        }
        let mut tx = self.intake.across(TenantId::PLATFORM).await?;
        let inserted = usage::record(tx.conn(), tenant.id, &events, now).await?;
        let inserted: HashSet<_> = inserted.into_iter().collect();
        let (new, known): (Vec<_>, Vec<_>) = events
            .iter()
            .partition(|event| inserted.contains(&event.usage_id));
        recorded.recorded = new.len();
        if !new.is_empty() {
            let ids = new.iter().flat_map(|event| &groups[event.group].accounts);
            let ids: BTreeSet<_> = ids.collect();
            let mut accounts = Accounts::new(accounts::lock(tx.conn(), ids).await?);
            for entry in sums(tenant.id, &new, &groups) {
                match accounts.post(&entry, now) {
                    Posted::Done(_) => {}
                    Posted::Full(line, standing) | Posted::Beyond(line, standing) => {
                        return Err(unfit(&entry, line, standing));
                    }
                    Posted::Ended => {
                        self.forget(&entry);
                        return Ok(None);
                    }
                }
            }
            let mut spans = series::Sums::default();
            for event in &new {
                let told = event.told;
                spans.add(
                    tenant.id,
                    &told.resource_type,
                    event.occurred_at,
                    told.amount,
                );
            }
            series::add(tx.conn(), &spans).await?;
            let own = iter::once(tenant.id);
            let closed = self.ledger.keep(&mut tx, &mut accounts, (own, Vec::new()));
            if !closed.await?.is_empty() {
                return Err(Error::TenantNotFound);
            }
        }
        let keys: Vec<_> = known
            .iter()
            .map(|event| (tenant.id, event.told.source.clone(), event.told.id.clone()))
            .collect();
        let kept = usage::digests(tx.conn(), &keys).await?;
        tx.finish(None, &()).await?;
        for (event, key) in known.iter().zip(&keys) {
            if kept
                .get(key)
                .is_some_and(|digest| *digest == event.told.digest)
            {
                recorded.repeated += 1;
            } else {
                recorded.refuse(event.told, tenantry_store::Error::RequestIdReused.into());
            }
        }
        recorded.refused.sort_by_key(|(place, ..)| *place);
        Ok(Some(recorded))
    }

    /// What each event counts in. One whose resource type isn't known is refused by itself.
    async fn placed<'a>(
        &self,
        tenant: &TenantEntry,
        (timely, now): (Vec<(&'a Told, Timestamp)>, Timestamp),
        recorded: &mut Recorded,
    ) -> Result<(Vec<Event<'a>>, Vec<Group>), Error> {
        let mut of_types: BTreeMap<&str, Vec<(&Told, Timestamp)>> = BTreeMap::new();
        for (told, at) in timely {
            let of_type = of_types.entry(&told.resource_type).or_default();
            of_type.push((told, at));
        }
        let (mut events, mut groups) = (Vec::new(), Vec::new());
        let mut places: HashMap<Vec<AccountId>, usize> = HashMap::new();
        for (resource_type, of_type) in of_types {
            let bounds = match self.bounds(tenant, resource_type).await {
                Ok(bounds) => bounds,
                Err(Error::Refused(why)) if why.reason == Reason::InvalidArgument => {
                    for (told, _) in of_type {
                        recorded.refuse(told, why.clone());
                    }
                    continue;
                }
                Err(error) => return Err(error),
            };
            let mut known = self.present(resource_type, &bounds, now).await?;
            for (told, at) in of_type {
                let Some(found) = self.windows(resource_type, &bounds, &mut known, at).await?
                else {
                    let why = format!(
                        "lies in more than {MOST_WINDOWS} windows of a limit, with the other events; send those that are near to each other"
                    );
                    recorded.refuse(told, Refusal::field("occurred_at", why));
                    continue;
                };
                let group = *places.entry(found).or_insert_with_key(|found| {
                    groups.push(Group {
                        resource_type: resource_type.to_owned(),
                        accounts: found.clone(),
                    });
                    groups.len() - 1
                });
                events.push(Event {
                    told,
                    usage_id: UsageId::new().uuid(),
                    occurred_at: at,
                    group,
                });
            }
        }
        // In the order of their keys, so that of two who take down the same none waits for the other.
        events.sort_by(|one, other| {
            let key = |event: &Event<'a>| (&event.told.source, &event.told.id);
            key(one).cmp(&key(other))
        });
        Ok((events, groups))
    }

    /// The present windows, as this replica knows them.
    async fn present(
        &self,
        resource_type: &str,
        bounds: &[Bound],
        now: Timestamp,
    ) -> Result<Known, Error> {
        let demands = [Demand {
            resource_type,
            amount: 0,
            bounds: bounds.to_vec(),
        }];
        let trying = Trying::new();
        loop {
            let tried = self.open_each(&demands).await?;
            let Some(decided) = trying.decided(tried).await? else {
                continue;
            };
            // Nothing is asked for that a limit might not have.
            let opens = decided.map_err(|_| Refusal::unavailable())?;
            let ended = opens
                .iter()
                .any(|open| open.window.end.is_some_and(|end| end <= now));
            if !ended {
                let known = opens
                    .iter()
                    .map(|open| vec![(open.window, open.id.clone())]);
                return Ok(known.collect());
            }
            for open in opens {
                self.ledger.forget(open.id.tenant, resource_type);
            }
        }
    }

    /// The account of each limit whose window lies around an instant, made where there was none; nothing where they are too many.
    pub(super) async fn windows(
        &self,
        resource_type: &str,
        bounds: &[Bound],
        known: &mut Known,
        at: Timestamp,
    ) -> Result<Option<Vec<AccountId>>, Error> {
        let mut found = Vec::with_capacity(bounds.len());
        for (bound, known) in bounds.iter().zip(known) {
            let around = |(window, _): &&(Window, AccountId)| {
                at >= window.start && window.end.is_none_or(|end| at < end)
            };
            if let Some((_, id)) = known.iter().find(around) {
                found.push(id.clone());
                continue;
            }
            if known.len() == MOST_WINDOWS {
                return Ok(None);
            }
            let mut tx = self.store.begin(bound.tenant.id).await?;
            let of = (&bound.tenant, resource_type, bound.root);
            let account = self.ledger.account(&mut tx, of, bound.reset_period(), at);
            let account = account.await?;
            tx.still_open().await?;
            tx.commit().await?;
            found.push(account.id.clone());
            known.push((account.window, account.id));
        }
        Ok(Some(found))
    }

    /// Forgets what is known of what an entry counts in.
    fn forget(&self, entry: &Entry) {
        for part in entry.lines.iter().flat_map(|line| &line.parts) {
            let account = &part.account;
            self.ledger.forget(account.tenant, &account.resource_type);
        }
    }
}

/// That the accounts of an entry have no place for so much.
fn unfit(entry: &Entry, line: usize, standing: Standing) -> Error {
    let line = entry.lines.get(line);
    let (resource_type, amount) = line.map_or_else(Default::default, |line| match line.amount {
        Amount::By(amount) | Amount::To(amount) => (line.resource_type.clone(), amount),
    });
    Error::QuotaExceeded {
        resource_type,
        amount,
        standing: Box::new(Standing {
            limit: None,
            ..standing
        }),
    }
}

/// Of events that were told several times in one request, the first.
fn once_each<'a>(told: &'a [Told], recorded: &mut Recorded) -> Vec<&'a Told> {
    let mut first: HashMap<(&str, &str), &Told> = HashMap::with_capacity(told.len());
    let mut once = Vec::with_capacity(told.len());
    for told in told {
        let key = (told.source.as_str(), told.id.as_str());
        match first.get(&key) {
            None => {
                first.insert(key, told);
                once.push(told);
            }
            Some(before) if before.digest == told.digest => recorded.repeated += 1,
            Some(_) => recorded.refuse(told, tenantry_store::Error::RequestIdReused.into()),
        }
    }
    once
}

/// Events whose time can be, each with it.
fn timely<'a>(
    told: &[&'a Told],
    now: Timestamp,
    recorded: &mut Recorded,
) -> Vec<(&'a Told, Timestamp)> {
    let earliest = now
        .checked_sub((LATE_DAYS * 24).hours())
        .unwrap_or(Timestamp::MIN);
    let latest = now
        .checked_add(AHEAD_MINUTES.minutes())
        .unwrap_or(Timestamp::MAX);
    let mut timely = Vec::with_capacity(told.len());
    for told in told {
        let at = told.occurred_at.unwrap_or(now);
        if at < earliest {
            let why = format!(
                "is more than {LATE_DAYS} days ago; what was counted then is amended with CorrectUsage"
            );
            recorded.refuse(told, Refusal::field("occurred_at", why));
        } else if at > latest {
            let why = format!(
                "is more than {AHEAD_MINUTES} minutes ahead of the time here, {now}; set the clock of whoever tells"
            );
            recorded.refuse(told, Refusal::field("occurred_at", why));
        } else {
            // Of what is just ahead it is now.
            timely.push((*told, at.min(now)));
        }
    }
    timely
}

/// What the events of each group add up to, as entries.
fn sums(tenant: TenantId, events: &[&Event<'_>], groups: &[Group]) -> Vec<Entry> {
    let mut of_groups: BTreeMap<usize, i64> = BTreeMap::new();
    for event in events {
        let sum = of_groups.entry(event.group).or_default();
        *sum = sum.saturating_add(event.told.amount);
    }
    let entries = of_groups.into_iter().map(|(group, amount)| {
        let group = &groups[group];
        let parts = group.accounts.iter().map(|account| Part {
            account: account.clone(),
            change: Change::Amend,
            fast: 0,
        });
        Entry {
            key: (tenant, String::new(), String::new()),
            usage_id: Uuid::nil(),
            digest: Vec::new(),
            kind: Kind::Recorded,
            description: String::new(),
            occurred_at: None,
            refers_to: None,
            lines: vec![Line {
                resource_type: group.resource_type.clone(),
                amount: Amount::By(amount),
                parts: parts.collect(),
            }],
        }
    });
    entries.collect()
}

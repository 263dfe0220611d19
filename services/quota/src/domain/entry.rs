//! Entries: what is counted at once, in the accounts of all its lines or in none.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenantry_core::TenantId;
use uuid::Uuid;

use super::account::{Account, AccountId, Committing};
use super::alert::Alert;
use super::decision::{Standing, binding};
use super::limit::Cap;

/// By what an entry is known: the tenant, who told of it, and their id of the request.
pub(crate) type Key = (TenantId, String, String);

/// Why something was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// It was used, within the limits.
    Used,
    /// It was used, whatever the limits are.
    Adjusted,
    /// It was given back.
    Released,
    /// So much there is.
    Set,
    /// It was held for what is under way.
    Reserved,
    /// What was held and wasn't used was given back.
    Committed,
    /// All that was held was given back.
    Cancelled,
    /// The same, because its time had passed.
    Expired,
    /// It was told of by an event.
    Recorded,
    /// What was told was wrong by so much.
    Corrected,
    /// The gateway let as many requests pass, within the limits.
    Requests,
}

impl Kind {
    /// Those whose amounts can be wrong: others belong to something that is told anew, or ended.
    pub(crate) const CORRECTABLE: [Self; 3] = [Self::Used, Self::Adjusted, Self::Recorded];

    /// The word, as the API and rows have it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::Adjusted => "adjusted",
            Self::Released => "released",
            Self::Set => "set",
            Self::Reserved => "reserved",
            Self::Committed => "committed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Recorded => "recorded",
            Self::Corrected => "corrected",
            Self::Requests => "requests",
        }
    }
}

/// What is to be counted.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) usage_id: Uuid,
    /// What tells the request from another under the same id; empty where nobody can repeat it.
    pub(crate) digest: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) description: String,
    /// When it was used, where that isn't now.
    pub(crate) occurred_at: Option<Timestamp>,
    /// The reservation that it ends, or what it corrects.
    pub(crate) refers_to: Option<Uuid>,
    pub(crate) lines: Vec<Line>,
}

/// What an entry counts of one resource type.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) resource_type: String,
    pub(crate) amount: Amount,
    /// The tenant's own account first, then those of the pools.
    pub(crate) parts: Vec<Part>,
}

/// How much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amount {
    /// So much more, or less where it is negative.
    By(i64),
    /// As much as it then is, in the tenant's own account.
    To(i64),
}

/// What a line counts in one account.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) account: AccountId,
    pub(crate) change: Change,
    /// What its counter was spent fast.
    pub(crate) fast: i64,
}

/// How it is counted there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Within the limit.
    Use {
        /// The opening that it was spent of; none where it counts in the ledger alone.
        opening: Option<String>,
        /// The limit that it was decided by.
        cap: Option<Cap>,
    },
    /// In the present window, whatever the limit is.
    Adjust,
    /// No more than there is.
    Release,
    /// In that window, be it over or not.
    Amend,
}

/// What became of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Posted {
    /// It counts: of each line how much, and how its limits stand.
    Done(Vec<Counted>),
    /// It doesn't count: what it was spent of has ended.
    Ended,
    /// It doesn't count: the limit of this line doesn't have so much.
    Full(usize, Standing),
    /// It doesn't count: less than that is used of this line.
    Beyond(usize, Standing),
}

/// How much of a resource type was counted, and how its limits stand behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) resource_type: String,
    pub(crate) amount: i64,
    pub(crate) standing: Standing,
}

/// The accounts of a batch of entries, and what the batch makes of them.
#[derive(Debug)]
pub(crate) struct Accounts {
    accounts: BTreeMap<AccountId, Account>,
    changed: BTreeSet<AccountId>,
    /// What openings have committed less than before: their counters may spend it again.
    freed: BTreeMap<AccountId, i64>,
    alerts: Vec<Alert>,
}

impl Accounts {
    pub(crate) fn new(locked: Vec<Account>) -> Self {
        Self {
            accounts: locked
                .into_iter()
                .map(|account| (account.id.clone(), account))
                .collect(),
            changed: BTreeSet::new(),
            freed: BTreeMap::new(),
            alerts: Vec::new(),
        }
    }

    /// Those that entries have changed.
    pub(crate) fn changed(&self) -> impl Iterator<Item = &Account> + Clone {
        self.changed.iter().filter_map(|id| self.accounts.get(id))
    }

    /// Those that were granted more than their limit has since entries counted in them.
    pub(crate) fn overgranted(&mut self) -> impl Iterator<Item = &mut Account> {
        let changed = &self.changed;
        self.accounts
            .iter_mut()
            .filter(|(id, account)| changed.contains(*id) && account.is_overgranted())
            .map(|(_, account)| account)
    }

    /// Each account whose counter may spend so much again.
    pub(crate) fn freed(&self) -> impl Iterator<Item = (&Account, i64)> {
        let freed = self.freed.iter();
        freed.filter_map(|(id, amount)| Some((self.accounts.get(id)?, *amount)))
    }

    /// What is to be told of them.
    pub(crate) fn alerts(&self) -> &[Alert] {
        &self.alerts
    }

    /// Counts an entry.
    pub(crate) fn post(&mut self, entry: &Entry, now: Timestamp) -> Posted {
        let mut after = Vec::new();
        let mut counted = Vec::with_capacity(entry.lines.len());
        for (place, line) in entry.lines.iter().enumerate() {
            let own = line.parts.first();
            let own = own.and_then(|part| self.accounts.get(&part.account));
            let mut amount = match line.amount {
                Amount::By(amount) => amount,
                Amount::To(value) => value.saturating_sub(own.map_or(0, Account::used)),
            };
            // Where the tenant's own account is gone nothing of it is changed.
            let mut counted_own = 0;
            let mut standings = Vec::with_capacity(line.parts.len());
            for (nth, part) in line.parts.iter().enumerate() {
                let Some(mut account) = self.accounts.get(&part.account).cloned() else {
                    // What it counted in may have gone, a pool with its tenant.
                    if part.change == Change::Amend {
                        continue;
                    }
                    return Posted::Ended;
                };
                let (changed, committing) = change(&mut account, &part.change, amount, now);
                // What others have spent and not committed isn't used.
                let standing = account.standing(account.used_with(part.fast));
                match committing {
                    Committing::Done => {}
                    Committing::Ended => return Posted::Ended,
                    Committing::Full if matches!(part.change, Change::Release) => {
                        return Posted::Beyond(place, standing);
                    }
                    Committing::Full => {
                        self.refuse(&part.account, standing.usage);
                        return Posted::Full(place, standing);
                    }
                }
                if nth == 0 {
                    amount = changed;
                    counted_own = changed;
                }
                after.push((account, standing.usage));
                standings.push(standing);
            }
            let Some(standing) = binding(standings) else {
                return Posted::Ended;
            };
            counted.push(Counted {
                resource_type: line.resource_type.clone(),
                amount: counted_own,
                standing,
            });
        }
        for (mut account, usage) in after {
            self.alerts.extend(account.reach(usage));
            self.keep(account);
        }
        Posted::Done(counted)
    }

    /// Notes that an account refused something.
    fn refuse(&mut self, id: &AccountId, usage: i64) {
        let account = self.accounts.get_mut(id);
        if let Some(alert) = account.and_then(|account| account.refuse(usage)) {
            self.alerts.push(alert);
            self.changed.insert(id.clone());
        }
    }

    fn keep(&mut self, account: Account) {
        let id = account.id.clone();
        if let Some(before) = self.accounts.insert(id.clone(), account.clone())
            && before.committed > account.committed
        {
            *self.freed.entry(id.clone()).or_default() += before.committed - account.committed;
        }
        self.changed.insert(id);
    }
}

/// Changes an account; by how much, if it does.
fn change(
    account: &mut Account,
    change: &Change,
    amount: i64,
    now: Timestamp,
) -> (i64, Committing) {
    match change {
        Change::Use { opening, cap } => {
            let decided_by = (opening.as_deref(), *cap);
            (amount, account.commit(decided_by, amount, now))
        }
        Change::Adjust | Change::Release if !account.is_current(now) => (0, Committing::Ended),
        Change::Release if amount.saturating_neg() > account.used() => (0, Committing::Full),
        // Of what nothing bounds there is no more than a number can say.
        Change::Adjust | Change::Amend if amount > i64::MAX - account.used() => {
            (0, Committing::Full)
        }
        Change::Adjust | Change::Release | Change::Amend => {
            (account.adjust(amount), Committing::Done)
        }
    }
}

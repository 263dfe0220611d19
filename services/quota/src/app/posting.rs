//! The way of an entry: what it counts in is spent or opened, then it is committed to the ledger, and acknowledged only then.

use sha2::{Digest as _, Sha256};
use tenantry_core::request_id::RequestKey;
use tenantry_core::{RequestContext, UsageId};
use tenantry_counter::How;
use tenantry_rpc::tenants::TenantEntry;
use uuid::Uuid;

use super::App;
use super::bounds::Bound;
use super::committing::{Commission, Outcome};
use super::spending::{Demand, Refused, Spending, Tried, Trying};
use crate::domain::entry::{Amount, Change, Counted, Entry, Kind, Line, Part, Posted};
use crate::domain::limit::{self, Cap};
use crate::domain::reservation::{Held, NewReservation, Reserving};
use crate::error::Error;
use crate::store::usage::{self, Kept};

/// What is to be counted for a tenant.
#[derive(Clone, Debug)]
pub(super) struct Posting<'a> {
    pub(super) tenant: &'a TenantEntry,
    /// Without the parts of its lines: those are found.
    pub(super) entry: Entry,
    /// The reservation that is made of it.
    pub(super) reservation: Option<NewReservation>,
}

impl<'a> Posting<'a> {
    /// What a caller asks to be counted, once for its key.
    pub(super) fn new(
        ctx: &RequestContext,
        key: Option<&RequestKey>,
        tenant: &'a TenantEntry,
        kind: Kind,
        description: &str,
    ) -> Self {
        let usage_id = UsageId::new().uuid();
        let request_id = key.map_or_else(|| usage_id.to_string(), |key| key.request_id.clone());
        Self {
            tenant,
            entry: Entry {
                key: (tenant.id, ctx.principal.key(), request_id),
                usage_id,
                digest: key.map(digest).unwrap_or_default(),
                kind,
                description: description.to_owned(),
                occurred_at: None,
                refers_to: None,
                lines: Vec::new(),
            },
            reservation: None,
        }
    }

    /// The same with one more line.
    pub(super) fn line(mut self, resource_type: &str, amount: Amount) -> Self {
        self.entry.lines.push(Line {
            resource_type: resource_type.to_owned(),
            amount,
            parts: Vec::new(),
        });
        self
    }

    /// Whether limits are to have it.
    const fn is_within_limits(&self) -> bool {
        matches!(self.entry.kind, Kind::Used | Kind::Reserved)
    }

    /// How it is counted in the account of a bound.
    fn change(&self, opening: Option<&str>, cap: Option<Cap>, pool: bool) -> Change {
        match self.entry.kind {
            Kind::Used | Kind::Reserved => Change::Use {
                opening: opening.map(str::to_owned),
                cap,
            },
            Kind::Released if !pool => Change::Release,
            Kind::Adjusted | Kind::Released | Kind::Set => Change::Adjust,
            Kind::Committed
            | Kind::Cancelled
            | Kind::Expired
            | Kind::Recorded
            | Kind::Corrected
            | Kind::Requests => Change::Amend,
        }
    }
}

/// That something was counted.
#[derive(Clone, Debug)]
pub(super) struct Receipt {
    /// The id of the entry that it was counted by, which is an earlier one where it was sent again.
    pub(super) usage_id: Uuid,
    pub(super) counted: Vec<Counted>,
}

/// What tells a request from another under the same id, be that of another method, whose message may have the same bytes.
fn digest(key: &RequestKey) -> Vec<u8> {
    let mut digest = Sha256::new();
    digest.update(key.method.as_bytes());
    digest.update(key.digest);
    digest.finalize().to_vec()
}

impl App {
    /// Counts a posting, or says which of its lines a limit doesn't have.
    pub(super) async fn post(
        &self,
        posting: &Posting<'_>,
    ) -> Result<Result<Receipt, Refused>, Error> {
        let trying = Trying::new();
        loop {
            let tried = self.try_to_post(posting).await?;
            let Some(decided) = trying.decided(tried).await? else {
                continue;
            };
            // It may have been counted before, when there was more.
            return Ok(match decided {
                Ok(receipt) => Ok(receipt),
                Err(refused) => self.counted_before(&posting.entry).await?.ok_or(refused),
            });
        }
    }

    /// The same, and a line that a limit doesn't have is an error.
    pub(super) async fn post_all(&self, posting: &Posting<'_>) -> Result<Receipt, Error> {
        self.post(posting)
            .await?
            .map_err(|refused| exceeded(posting, refused))
    }

    async fn try_to_post(&self, posting: &Posting<'_>) -> Result<Tried<Receipt>, Error> {
        let demands = self.demands(posting).await?;
        let spending = if posting.is_within_limits() {
            self.spend(&demands, How::Durably).await?
        } else {
            self.open_all(&demands).await?
        };
        let spending = match spending {
            Tried::Done(spending) => spending,
            tried => return Ok(tried.of_another()),
        };
        let entry = Entry {
            lines: lines(posting, &spending),
            ..posting.entry.clone()
        };
        let reservation = posting.reservation.clone();
        let reserving = reservation.map(|new| Reserving::Make(new.of(held(&entry))));
        let commission = Commission { entry, reserving };
        let root = spending.root().unwrap_or(posting.tenant.id);
        let outcome = self.committer.commit(commission, root).await?;
        let used = match &outcome {
            Outcome::Posted(Posted::Done(_)) => true,
            // Ours, where a first try was committed and nobody was told.
            Outcome::Again(kept) => is_of(&posting.entry, kept),
            Outcome::Posted(_) | Outcome::NotHeld(_) => false,
        };
        if !used && posting.is_within_limits() {
            self.give_back(&spending).await?;
        }
        Ok(match outcome {
            Outcome::Posted(Posted::Done(counted)) => {
                if !posting.is_within_limits() {
                    let accounts = spending.opens.iter().map(|(_, open)| &open.id);
                    accounts.for_each(|account| self.ledger.note_room(account));
                }
                Tried::Done(Receipt {
                    usage_id: posting.entry.usage_id,
                    counted,
                })
            }
            Outcome::Again(kept) => Tried::Done(same(&posting.entry, kept)?),
            Outcome::Posted(Posted::Ended) => {
                for (_, open) in &spending.opens {
                    self.ledger.forget(open.id.tenant, &open.id.resource_type);
                }
                Tried::Again
            }
            Outcome::Posted(Posted::Full(demand, standing)) => {
                self.ledger.note_full(standing, &spending);
                Tried::Full(Refused { demand, standing })
            }
            Outcome::Posted(Posted::Beyond(line, standing)) => {
                let (resource_type, amount) = asked(posting, line);
                return Err(Error::ReleaseBeyondUsage {
                    resource_type,
                    amount: amount.saturating_neg(),
                    standing: Box::new(standing),
                });
            }
            Outcome::NotHeld(status) => return Err(Error::ReservationNotHeld(status)),
        })
    }

    /// What bounds each line. What is given back, or set, is of gauges alone.
    async fn demands<'a>(&self, posting: &'a Posting<'_>) -> Result<Vec<Demand<'a>>, Error> {
        let mut demands = Vec::with_capacity(posting.entry.lines.len());
        for line in &posting.entry.lines {
            let mut bounds = self.bounds(posting.tenant, &line.resource_type).await?;
            if matches!(posting.entry.kind, Kind::Released | Kind::Set) {
                if limit::is_counted_by_fleet(&line.resource_type) {
                    return Err(Error::CountedByFleet(line.resource_type.clone()));
                }
                let own = bounds.first().map(Bound::reset_period);
                if let Some(period) = own.filter(|period| !period.is_never()) {
                    return Err(Error::NotAGauge {
                        resource_type: line.resource_type.clone(),
                        period,
                    });
                }
                bounds.retain(|bound| bound.reset_period().is_never());
            }
            demands.push(Demand {
                resource_type: &line.resource_type,
                amount: match line.amount {
                    Amount::By(amount) => amount,
                    Amount::To(_) => 0,
                },
                bounds,
            });
        }
        Ok(demands)
    }

    /// The first answer, where the same request was counted before.
    async fn counted_before(&self, entry: &Entry) -> Result<Option<Receipt>, Error> {
        if entry.digest.is_empty() {
            return Ok(None);
        }
        let mut tx = self.store.read(entry.key.0).await?;
        let kept = usage::kept(tx.conn(), &[&entry.key]).await?;
        let kept: Vec<_> = kept.into_iter().map(|(_, line)| line).collect();
        if kept.is_empty() {
            return Ok(None);
        }
        same(entry, kept).map(Some)
    }
}

/// A limit that doesn't have a line, as an error.
pub(super) fn exceeded(posting: &Posting<'_>, refused: Refused) -> Error {
    let (resource_type, amount) = asked(posting, refused.demand);
    Error::QuotaExceeded {
        resource_type,
        amount,
        standing: Box::new(refused.standing),
    }
}

fn asked(posting: &Posting<'_>, line: usize) -> (String, i64) {
    let line = posting.entry.lines.get(line);
    line.map_or_else(Default::default, |line| match line.amount {
        Amount::By(amount) | Amount::To(amount) => (line.resource_type.clone(), amount),
    })
}

/// The lines of a posting, with what each counts in.
fn lines(posting: &Posting<'_>, spending: &Spending) -> Vec<Line> {
    let lines = posting.entry.lines.iter().enumerate();
    let lines = lines.map(|(place, line)| {
        let parts = spending.parts(place).enumerate();
        let parts = parts.map(|(nth, (open, counter))| Part {
            account: open.id.clone(),
            change: posting.change(open.opening(), open.cap, nth > 0),
            fast: counter.map_or(0, |counter| counter.fast),
        });
        Line {
            parts: parts.collect(),
            ..line.clone()
        }
    });
    lines.collect()
}

/// What a reservation holds, where this is what makes it.
fn held(entry: &Entry) -> Vec<Held> {
    let lines = entry.lines.iter();
    let lines = lines.map(|line| Held {
        resource_type: line.resource_type.clone(),
        amount: match line.amount {
            Amount::By(amount) | Amount::To(amount) => amount,
        },
        accounts: line.parts.iter().map(|part| part.account.clone()).collect(),
    });
    lines.collect()
}

fn is_of(entry: &Entry, kept: &[Kept]) -> bool {
    kept.first()
        .is_some_and(|line| line.usage_id == entry.usage_id)
}

/// The first answer to the same request; refused where the request was another.
pub(super) fn same(entry: &Entry, kept: Vec<Kept>) -> Result<Receipt, Error> {
    if kept.iter().any(|line| line.digest != entry.digest) {
        return Err(tenantry_store::Error::RequestIdReused.into());
    }
    Ok(Receipt {
        usage_id: kept.first().map_or(entry.usage_id, |line| line.usage_id),
        counted: kept.into_iter().map(|line| line.counted).collect(),
    })
}

/// The line of several that binds most.
pub(crate) fn tightest(counted: &[Counted]) -> Option<&Counted> {
    counted.iter().min_by_key(|line| line.standing.room())
}

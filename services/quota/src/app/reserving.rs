//! Reservations: made within the limits, and ended by saying what was used. Those that nobody ends give back what they hold when
//! their time has passed.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tenantry_core::request_id::RequestKey;
use tenantry_core::{Permissions, Refusal, RequestContext, ReservationId, TenantId};
use tenantry_rpc::contained;
use tenantry_rpc::tenants::TenantEntry;
use tokio_util::sync::CancellationToken;

use super::committing::{Commission, Outcome};
use super::posting::{Posting, same};
use super::{App, OWN};
use crate::domain::entry::{Amount, Change, Counted, Kind, Line, Part, Posted};
use crate::domain::reservation::{Ending, Held, NewReservation, Reservation, Reserving, Status};
use crate::error::Error;
use crate::store::reservations;

/// How often it is looked for those whose time has passed: that much late at most is given back.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Most that one look ends before it looks again.
const AT_ONCE: i64 = 500;

/// What is to be reserved.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    /// How much of each resource type, each of which stands here once.
    pub(crate) amounts: Vec<(String, i64)>,
    pub(crate) description: String,
    pub(crate) ttl: SignedDuration,
}

/// A reservation, and how the limits stand behind what was just done.
#[derive(Clone, Debug)]
pub(crate) struct Reserved {
    pub(crate) reservation: Reservation,
    pub(crate) counted: Vec<Counted>,
}

/// How much of a reservation was used.
#[derive(Clone, Debug)]
pub(crate) enum Used {
    /// Nothing.
    Nothing,
    /// So much of the resource types that stand here, and all of the others.
    Amounts(Vec<(String, i64)>),
    /// So much of the only one.
    Amount(i64),
}

impl App {
    /// Reserves so much, or nothing where a limit doesn't have it. Once for its key.
    pub(crate) async fn reserve(
        &self,
        ctx: &RequestContext,
        key: Option<&RequestKey>,
        tenant: &TenantEntry,
        wish: &Wish,
    ) -> Result<Reserved, Error> {
        let mut posting = Posting::new(ctx, key, tenant, Kind::Reserved, &wish.description);
        for (resource_type, amount) in &wish.amounts {
            posting = posting.line(resource_type, Amount::By(*amount));
        }
        // Of a repetition it is the one that was made at first: the entry that makes it has its id.
        let id = ReservationId::from(posting.entry.usage_id);
        posting.entry.refers_to = Some(id.uuid());
        posting.reservation = Some(NewReservation {
            id,
            lines: Vec::new(),
            description: wish.description.clone(),
            ttl: wish.ttl,
            owned: None,
        });
        let receipt = self.post_all(&posting).await?;
        let reservation = self.reservation(tenant.id, receipt.usage_id.into());
        Ok(Reserved {
            reservation: reservation.await?,
            counted: receipt.counted,
        })
    }

    /// A reservation of the tenant.
    pub(crate) async fn reservation(
        &self,
        tenant: TenantId,
        id: ReservationId,
    ) -> Result<Reservation, Error> {
        let mut tx = self.store.read(tenant).await?;
        let found = reservations::find(tx.conn(), tenant, id).await?;
        found.ok_or(Error::ReservationNotFound)
    }

    /// Ends a reservation: what wasn't used is given back to where it was counted. Once for its key.
    pub(crate) async fn end_reservation(
        &self,
        ctx: &RequestContext,
        key: Option<&RequestKey>,
        tenant: &TenantEntry,
        (id, used): (ReservationId, Used),
    ) -> Result<Reserved, Error> {
        let before = self.reservation(tenant.id, id).await?;
        let (kind, status) = match used {
            Used::Nothing => (Kind::Cancelled, Status::Cancelled),
            Used::Amounts(_) | Used::Amount(_) => (Kind::Committed, Status::Committed),
        };
        let lines = used.of(&before)?;
        let posting = Posting::new(ctx, key, tenant, kind, &before.description);
        let counted = self.end(posting, &before, status, lines).await?;
        let reservation = self.reservation(tenant.id, id).await?;
        Ok(Reserved {
            reservation,
            counted,
        })
    }

    /// Ends a reservation so, and counts what that changes.
    pub(super) async fn end(
        &self,
        posting: Posting<'_>,
        before: &Reservation,
        status: Status,
        lines: Vec<Held>,
    ) -> Result<Vec<Counted>, Error> {
        let mut entry = posting.entry;
        // What wasn't used of what was held never was; what is gone was there until now.
        entry.occurred_at = (status != Status::Released).then_some(before.created_at);
        entry.refers_to = Some(before.id.uuid());
        let both = before.lines.iter().zip(&lines);
        entry.lines = both.map(|(held, used)| given_back(held, used)).collect();
        let root = self.root(posting.tenant).await?;
        let ending = Ending {
            id: before.id,
            status,
            lines,
        };
        let commission = Commission {
            entry: entry.clone(),
            reserving: Some(Reserving::End(ending)),
        };
        match self.committer.commit(commission, root).await? {
            Outcome::Posted(Posted::Done(counted)) => {
                let accounts = before.lines.iter().flat_map(|line| &line.accounts);
                accounts.for_each(|account| self.ledger.note_room(account));
                Ok(counted)
            }
            Outcome::Again(kept) => Ok(same(&entry, kept)?.counted),
            Outcome::NotHeld(Some(status)) => Err(Error::ReservationNotHeld(Some(status))),
            // Its accounts went with the tenant, or with their time.
            Outcome::NotHeld(None) | Outcome::Posted(_) => Err(Error::ReservationNotFound),
        }
    }

    /// Ends reservations whose time has passed until told to stop. What it is just doing is either done or not; another replica goes
    /// on.
    pub(crate) async fn expire_reservations(self: Arc<Self>, stop: CancellationToken) {
        loop {
            if let Err(error) = self.expire_some().await {
                tracing::warn!(error = %error, "reservations can't be ended; trying again");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn expire_some(&self) -> Result<(), Error> {
        let mut platform = self.store.platform().await?;
        let due = reservations::due(platform.conn(), AT_ONCE).await?;
        drop(platform);
        let ends = due.iter().map(|(tenant, reservation)| async move {
            let ended = contained("ends of reservations", self.expire_one(*tenant, reservation)).await;
            match ended {
                // Another replica, or its caller, was first.
                Some(Err(Error::ReservationNotHeld(_) | Error::ReservationNotFound) | Ok(())) | None => {}
                Some(Err(error)) => {
                    tracing::warn!(tenant.id = %tenant, error = %error, "a reservation can't be ended; trying again");
                }
            }
        });
        futures::future::join_all(ends).await;
        Ok(())
    }

    async fn expire_one(&self, tenant: TenantId, reservation: &Reservation) -> Result<(), Error> {
        let Some(tenant) = self.tenants.get(tenant).await? else {
            return Ok(());
        };
        let ctx = RequestContext::of_service(OWN, Permissions::NONE);
        let posting = Posting::new(&ctx, None, &tenant, Kind::Expired, &reservation.description);
        let lines = Used::Nothing.of(reservation)?;
        self.end(posting, reservation, Status::Expired, lines)
            .await?;
        Ok(())
    }
}

impl Used {
    /// What was used of each line of a reservation.
    pub(super) fn of(&self, reservation: &Reservation) -> Result<Vec<Held>, Error> {
        let mut lines = reservation.lines.clone();
        match self {
            Self::Nothing => lines.iter_mut().for_each(|line| line.amount = 0),
            Self::Amount(amount) => match lines.as_mut_slice() {
                [only] => only.amount = *amount,
                _ => {
                    let why = "says of which of several resource types; name them in resources";
                    return Err(Refusal::field("amount", why).into());
                }
            },
            Self::Amounts(amounts) => {
                for (resource_type, amount) in amounts {
                    let mut held = lines.iter_mut();
                    let held = held.find(|line| line.resource_type == *resource_type);
                    let why = || format!("has {resource_type}, which isn't reserved");
                    let held = held.ok_or_else(|| Refusal::field("resources", why()));
                    held?.amount = *amount;
                }
            }
        }
        let beyond = reservation.lines.iter().zip(&lines);
        let mut beyond = beyond.filter(|(held, used)| used.amount > held.amount);
        // Of one that has ended it is to be said that it has.
        if reservation.status == Status::Held
            && let Some((held, used)) = beyond.next()
        {
            let why = format!(
                "has {} of {}, and {} are reserved: commit those, and consume the rest",
                used.amount, used.resource_type, held.amount
            );
            return Err(Refusal::field("amount", why).into());
        }
        Ok(lines)
    }
}

/// The line by which what was held and not used is given back.
fn given_back(held: &Held, used: &Held) -> Line {
    let parts = held.accounts.iter().map(|account| Part {
        account: account.clone(),
        change: Change::Amend,
        fast: 0,
    });
    Line {
        resource_type: held.resource_type.clone(),
        amount: Amount::By(used.amount - held.amount),
        parts: parts.collect(),
    }
}

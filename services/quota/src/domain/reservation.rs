//! Reservations: what is held for something that is under way, until it is known how much of it was used.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tenantry_core::{ReservationId, TenantId};

use super::account::AccountId;

/// What became of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Held,
    Committed,
    Cancelled,
    /// Its time passed before anybody ended it.
    Expired,
    /// What another service held it for isn't there, and never will be again.
    Released,
}

impl Status {
    /// The word, as the API and rows have it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Committed => "committed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Released => "released",
        }
    }
}

/// One reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reservation {
    pub(crate) id: ReservationId,
    pub(crate) status: Status,
    pub(crate) lines: Vec<Held>,
    pub(crate) description: String,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) ended_at: Option<Timestamp>,
}

/// What it holds of one resource type; behind its commit, what was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) resource_type: String,
    pub(crate) amount: i64,
    /// What it counts in, the tenant's own account first.
    pub(crate) accounts: Vec<AccountId>,
}

/// One of another service that was held for longer than it takes to make what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Doubtful {
    pub(crate) tenant: TenantId,
    pub(crate) owner: String,
    pub(crate) resource_type: String,
    pub(crate) id: ReservationId,
}

/// One that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewReservation {
    pub(crate) id: ReservationId,
    pub(crate) lines: Vec<Held>,
    pub(crate) description: String,
    /// After how long it is given back by itself; of one with an owner, after how long that is asked.
    pub(crate) ttl: SignedDuration,
    /// The service that keeps what it is for, and what is known of that already; none for the product's own, which are held.
    pub(crate) owned: Option<Owned>,
}

/// How a reservation of another service begins: held for what is about to be made, committed where that is there already, released
/// where it is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owned {
    pub(crate) owner: String,
    pub(crate) status: Status,
}

impl NewReservation {
    /// The same, of these lines.
    pub(crate) fn of(self, lines: Vec<Held>) -> Self {
        Self { lines, ..self }
    }

    /// What it begins as.
    pub(crate) fn status(&self) -> Status {
        self.owned
            .as_ref()
            .map_or(Status::Held, |owned| owned.status)
    }
}

/// What an entry makes of a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reserving {
    /// There is a new one.
    Make(NewReservation),
    /// One that was held has ended so.
    End(Ending),
}

/// How a reservation ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) id: ReservationId,
    pub(crate) status: Status,
    /// What was used, where that is known.
    pub(crate) lines: Vec<Held>,
}

impl Ending {
    /// Whether one of this status ends so: only what is held, but for what is released, which may be there for years before.
    pub(crate) fn is_of(&self, status: Status) -> bool {
        match self.status {
            Status::Released => matches!(status, Status::Held | Status::Committed),
            _ => status == Status::Held,
        }
    }
}

impl Reserving {
    /// Which reservation.
    pub(crate) const fn id(&self) -> ReservationId {
        match self {
            Self::Make(reservation) => reservation.id,
            Self::End(ending) => ending.id,
        }
    }
}

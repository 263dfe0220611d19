//! Between the messages of reservations and the use cases.

use jiff::SignedDuration;
use tenantry_core::refusal::Violations;
use tenantry_core::{Refusal, ReservationId};
use tenantry_proto::quota::v1 as wire;
use tenantry_rpc::convert::timestamp;

use super::{amount, amounts, several_amounts, standing, text};
use crate::app::{Reserved, Used, Wish};
use crate::domain::reservation::Reservation;
use crate::error::Error;

/// How long something is held where nobody says, and how long it may be.
const TTL_SECONDS: i32 = 300;
const MAX_TTL_SECONDS: i32 = 86_400;

pub(crate) fn wish(message: wire::CreateReservationRequest) -> Result<Wish, Refusal> {
    let mut wrong = Violations::new();
    let one = (message.resource_type, message.amount);
    let amounts = amounts(&mut wrong, one, message.resources);
    if let Some(why) = text(&message.description) {
        wrong.add("description", why);
    }
    let ttl = message.ttl_seconds.unwrap_or(TTL_SECONDS);
    if !(1..=MAX_TTL_SECONDS).contains(&ttl) {
        wrong.add("ttl_seconds", format!("must be 1 to {MAX_TTL_SECONDS}"));
    }
    wrong.check()?;
    Ok(Wish {
        amounts,
        description: message.description,
        ttl: SignedDuration::from_secs(ttl.into()),
    })
}

/// The id of a reservation: what is none of one names nothing that there is.
pub(crate) fn id(text: &str) -> Result<ReservationId, Refusal> {
    text.parse().map_err(|_| Error::ReservationNotFound.into())
}

/// Which reservation, and what of it was used.
pub(crate) fn used(
    message: &wire::CommitReservationRequest,
) -> Result<(ReservationId, Used), Refusal> {
    let id = id(&message.reservation)?;
    let mut wrong = Violations::new();
    let one = message.amount.map(amount).transpose();
    let one = wrong.take("amount", one).flatten();
    if message.amount.is_some() && !message.resources.is_empty() {
        wrong.add(
            "resources",
            "stand in the place of amount; send one or the other",
        );
    }
    let several = several_amounts(&mut wrong, message.resources.clone());
    wrong.check()?;
    Ok((id, one.map_or(Used::Amounts(several), Used::Amount)))
}

pub(crate) fn reservation(reservation: Reservation) -> wire::Reservation {
    let lines = reservation.lines.into_iter();
    wire::Reservation {
        id: reservation.id.to_string(),
        status: reservation.status.word().to_owned(),
        resources: lines
            .map(|line| wire::ReservedAmount {
                resource_type: line.resource_type,
                amount: line.amount,
            })
            .collect(),
        description: reservation.description,
        created_at: Some(timestamp(reservation.created_at)),
        expires_at: Some(timestamp(reservation.expires_at)),
        ended_at: reservation.ended_at.map(timestamp),
        standings: Vec::new(),
    }
}

pub(crate) fn reserved(reserved: Reserved) -> wire::Reservation {
    wire::Reservation {
        standings: reserved.counted.into_iter().map(standing).collect(),
        ..reservation(reserved.reservation)
    }
}

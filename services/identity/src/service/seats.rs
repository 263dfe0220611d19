//! SeatService, for quota: what became of the places that it holds.

use std::sync::Arc;

use tenantry_core::refusal::Violations;
use tenantry_core::{Refusal, SeatId};
use tenantry_proto::internal::identity::v1::seat_service_server::SeatService;
use tenantry_proto::internal::identity::v1::{SettleSeatsRequest, SettleSeatsResponse};
use tenantry_rpc::convert::tenant_id;
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::domain::seat::SeatKind;

/// Most places of one call.
const MAX_SEATS: usize = 1_000;

/// The handlers.
#[derive(Clone, Debug)]
pub(crate) struct Seats(pub(crate) Arc<App>);

#[tonic::async_trait]
impl SeatService for Seats {
    async fn settle_seats(
        &self,
        request: Request<SettleSeatsRequest>,
    ) -> Result<Response<SettleSeatsResponse>, Status> {
        answer(async {
            let message = open(request)?.message;
            let tenant = tenant_id(&message.tenant_id)?;
            let (kind, seats) = parse(&message)?;
            let taken = self.0.settle_seats(tenant, kind, &seats).await?;
            Ok(SettleSeatsResponse {
                taken: taken.iter().map(ToString::to_string).collect(),
            })
        })
        .await
    }
}

fn parse(message: &SettleSeatsRequest) -> Result<(SeatKind, Vec<SeatId>), Refusal> {
    let mut wrong = Violations::new();
    let kind = SeatKind::parse(&message.resource_type);
    let kind = kind.ok_or_else(|| "must be users or api_keys".to_owned());
    let kind = wrong.take("resource_type", kind);
    let seats: Result<Vec<SeatId>, _> = message.seats.iter().map(|seat| seat.parse()).collect();
    let seats = seats
        .ok()
        .filter(|seats| (1..=MAX_SEATS).contains(&seats.len()));
    let seats = seats.ok_or_else(|| format!("must be 1 to {MAX_SEATS} UUIDs"));
    let seats = wrong.take("seats", seats);
    wrong.check()?;
    kind.zip(seats).ok_or_else(Refusal::internal)
}

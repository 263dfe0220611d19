//! Reservations.

use std::sync::Arc;

use tenantry_core::Permission;
use tenantry_proto::quota::v1 as wire;
use tenantry_proto::quota::v1::reservation_service_server::ReservationService;
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use crate::app::{App, Used};
use crate::convert::reservation as convert;

#[derive(Debug)]
pub(crate) struct Reservations(pub(crate) Arc<App>);

#[tonic::async_trait]
impl ReservationService for Reservations {
    async fn create_reservation(
        &self,
        request: Request<wire::CreateReservationRequest>,
    ) -> Result<Response<wire::Reservation>, Status> {
        answer(async {
            let mut call = open(request)?;
            let tenant = self
                .0
                .authorise(&call.ctx, &call.message.tenant, Permission::UsageRecord);
            let tenant = tenant.await?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let wish = convert::wish(call.message)?;
            let reserved = self.0.reserve(&call.ctx, key.as_ref(), &tenant, &wish);
            Ok(convert::reserved(reserved.await?))
        })
        .await
    }

    async fn get_reservation(
        &self,
        request: Request<wire::GetReservationRequest>,
    ) -> Result<Response<wire::Reservation>, Status> {
        answer(async {
            let call = open(request)?;
            let tenant = self
                .0
                .authorise(&call.ctx, &call.message.tenant, Permission::UsageRead);
            let tenant = tenant.await?;
            let id = convert::id(&call.message.reservation)?;
            let reservation = self.0.reservation(tenant.id, id);
            Ok(convert::reservation(reservation.await?))
        })
        .await
    }

    async fn commit_reservation(
        &self,
        request: Request<wire::CommitReservationRequest>,
    ) -> Result<Response<wire::Reservation>, Status> {
        answer(async {
            let mut call = open(request)?;
            let tenant = self
                .0
                .authorise(&call.ctx, &call.message.tenant, Permission::UsageRecord);
            let tenant = tenant.await?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let which = convert::used(&call.message)?;
            let ended = self
                .0
                .end_reservation(&call.ctx, key.as_ref(), &tenant, which);
            Ok(convert::reserved(ended.await?))
        })
        .await
    }

    async fn cancel_reservation(
        &self,
        request: Request<wire::CancelReservationRequest>,
    ) -> Result<Response<wire::Reservation>, Status> {
        answer(async {
            let mut call = open(request)?;
            let tenant = self
                .0
                .authorise(&call.ctx, &call.message.tenant, Permission::UsageRecord);
            let tenant = tenant.await?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let which = (convert::id(&call.message.reservation)?, Used::Nothing);
            let ended = self
                .0
                .end_reservation(&call.ctx, key.as_ref(), &tenant, which);
            Ok(convert::reserved(ended.await?))
        })
        .await
    }
}

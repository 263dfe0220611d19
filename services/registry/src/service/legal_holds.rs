//! Legal holds.

use tenantry_core::{LegalHoldId, Permission, Refusal, RequestContext, TenantId};
use tenantry_proto::registry::v1 as wire;
use tenantry_proto::registry::v1::legal_hold_service_server::LegalHoldService;
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use super::target::target;
use crate::app::{App, Change};
use crate::convert;
use crate::domain::hold;
use crate::error::Error;

#[derive(Debug)]
pub(crate) struct LegalHolds {
    app: App,
}

impl LegalHolds {
    pub(crate) const fn new(app: App) -> Self {
        Self { app }
    }

    /// The tenant that a request acts on, for who may place holds.
    async fn held(&self, ctx: &RequestContext, named: &str) -> Result<TenantId, Refusal> {
        ctx.require(Permission::PlatformLegalHoldsManage)?;
        target(&self.app, ctx, named).await
    }
}

#[tonic::async_trait]
impl LegalHoldService for LegalHolds {
    async fn place_legal_hold(
        &self,
        request: Request<wire::PlaceLegalHoldRequest>,
    ) -> Result<Response<wire::LegalHold>, Status> {
        answer(async {
            let mut call = open(request)?;
            let id = self.held(&call.ctx, &call.message.tenant).await?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let (holder, reason) = (&call.message.holder, &call.message.reason);
            hold::check(holder, reason)?;
            let change = Change::new(&call.ctx, &key, id, "");
            let hold = self.app.place_hold(change, holder, reason).await?;
            Ok(convert::legal_hold(hold))
        })
        .await
    }

    async fn list_legal_holds(
        &self,
        request: Request<wire::ListLegalHoldsRequest>,
    ) -> Result<Response<wire::ListLegalHoldsResponse>, Status> {
        answer(async {
            let call = open(request)?;
            let id = self.held(&call.ctx, &call.message.tenant).await?;
            let holds = self.app.holds(id).await?;
            Ok(wire::ListLegalHoldsResponse {
                legal_holds: holds.into_iter().map(convert::legal_hold).collect(),
            })
        })
        .await
    }

    async fn release_legal_hold(
        &self,
        request: Request<wire::ReleaseLegalHoldRequest>,
    ) -> Result<Response<wire::LegalHold>, Status> {
        answer(async {
            let mut call = open(request)?;
            let id = self.held(&call.ctx, &call.message.tenant).await?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let hold: LegalHoldId = call
                .message
                .hold
                .parse()
                .map_err(|_| Error::LegalHoldNotFound)?;
            let change = Change::new(&call.ctx, &key, id, "");
            Ok(convert::legal_hold(
                self.app.release_hold(change, hold).await?,
            ))
        })
        .await
    }
}

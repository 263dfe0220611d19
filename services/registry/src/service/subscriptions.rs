//! Tenants and the plans they are on.

use tenantry_core::Permission;
use tenantry_proto::registry::v1 as wire;
use tenantry_proto::registry::v1::subscription_service_server::SubscriptionService;
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use super::target::{managed, require, target};
use crate::app::{App, Change};
use crate::convert;

#[derive(Debug)]
pub(crate) struct Subscriptions {
    app: App,
}

impl Subscriptions {
    pub(crate) const fn new(app: App) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl SubscriptionService for Subscriptions {
    async fn change_plan(
        &self,
        request: Request<wire::ChangePlanRequest>,
    ) -> Result<Response<wire::Tenant>, Status> {
        answer(async {
            let mut call = open(request)?;
            let id = managed(&self.app, &call.ctx, &call.message.tenant).await?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let change = Change::new(&call.ctx, &key, id, &call.message.etag);
            let tenant = self.app.change_plan(change, &call.message.plan).await?;
            Ok(convert::tenant(tenant))
        })
        .await
    }

    async fn preview_plan_change(
        &self,
        request: Request<wire::PreviewPlanChangeRequest>,
    ) -> Result<Response<wire::PlanChangePreview>, Status> {
        answer(async {
            let call = open(request)?;
            let id = target(&self.app, &call.ctx, &call.message.tenant).await?;
            require(&call.ctx, Permission::TenantsRead)?;
            let preview = self
                .app
                .preview_plan_change(&call.ctx, id, &call.message.plan)
                .await?;
            Ok(convert::preview(id, preview))
        })
        .await
    }
}

//! The feed for the fleet's own services.

use tenantry_core::TenantRef;
use tenantry_proto::internal::registry::v1::tenant_feed_service_server::TenantFeedService;
use tenantry_proto::internal::registry::v1::{
    FollowTenantsRequest, FollowTenantsResponse, LookupTenantRequest, TenantEntry,
};
use tenantry_rpc::{answer, open};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::convert;
use crate::error::Error;
use crate::feed::Feed;

#[derive(Debug)]
pub(crate) struct TenantFeed {
    app: App,
    feed: Feed,
}

impl TenantFeed {
    pub(crate) const fn new(app: App, feed: Feed) -> Self {
        Self { app, feed }
    }
}

#[tonic::async_trait]
impl TenantFeedService for TenantFeed {
    type FollowTenantsStream = ReceiverStream<Result<FollowTenantsResponse, Status>>;

    async fn follow_tenants(
        &self,
        request: Request<FollowTenantsRequest>,
    ) -> Result<Response<Self::FollowTenantsStream>, Status> {
        answer(async {
            let call = open(request)?;
            self.feed
                .follow(&call.ctx, &call.message.resume_token)
                .await
        })
        .await
    }

    async fn lookup_tenant(
        &self,
        request: Request<LookupTenantRequest>,
    ) -> Result<Response<TenantEntry>, Status> {
        answer(async {
            let message = open(request)?.message;
            let named = if message.id.is_empty() {
                &message.slug
            } else {
                &message.id
            };
            let name = TenantRef::parse(named).ok_or(Error::TenantNotFound)?;
            let tenant = self.app.resolve(&message.project, &name).await?;
            let name = tenant.name.clone();
            Ok(TenantEntry {
                name,
                ..convert::entry(tenant)
            })
        })
        .await
    }
}

//! The feed of revocations, for the fleet's own services.

use tenantry_proto::internal::identity::v1::revocation_feed_service_server::RevocationFeedService;
use tenantry_proto::internal::identity::v1::{FollowRevocationsRequest, FollowRevocationsResponse};
use tenantry_rpc::{answer, open};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::revocations::Feed;

/// The handler.
#[derive(Clone, Debug)]
pub(crate) struct RevocationFeed(pub(crate) Feed);

#[tonic::async_trait]
impl RevocationFeedService for RevocationFeed {
    type FollowRevocationsStream = ReceiverStream<Result<FollowRevocationsResponse, Status>>;

    async fn follow_revocations(
        &self,
        request: Request<FollowRevocationsRequest>,
    ) -> Result<Response<Self::FollowRevocationsStream>, Status> {
        answer(async {
            let call = open(request)?;
            self.0.follow(&call.ctx, &call.message.resume_token)
        })
        .await
    }
}

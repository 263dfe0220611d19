//! Follows one of identity's replicas, and goes to the next when its bookmarks grow old.

use std::time::{Duration, Instant};

use tenantry_proto::internal::identity::v1 as wire;
use tenantry_proto::internal::identity::v1::follow_revocations_response::Item;
use tenantry_proto::internal::identity::v1::revocation_feed_service_client::RevocationFeedServiceClient;
use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::{Revocation, Revocations};
use crate::client::{CallAs, Replicas};
use crate::tenants::{FRESH, MAX_SILENCE, RETRY_PAUSE, age};

type Client = RevocationFeedServiceClient<InterceptedService<Channel, CallAs>>;

/// Follows identity into the latest revocations.
pub(super) struct Follower {
    clients: Vec<Client>,
    revocations: Revocations,
    resume_token: String,
}

impl Follower {
    pub(super) fn new(identity: &Replicas, revocations: Revocations) -> Self {
        Self {
            clients: identity
                .each()
                .map(RevocationFeedServiceClient::new)
                .collect(),
            revocations,
            resume_token: String::new(),
        }
    }

    /// Follows until cancelled. Nothing else ends it: while identity is away, what is known grows old, which streams see.
    pub(super) async fn run(mut self, cancel: CancellationToken) {
        let mut replica = 0;
        loop {
            let Some(client) = self.clients.get(replica).cloned() else {
                return self.revocations.settle();
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                ended = self.follow(client) => {
                    let status = match ended { Ok(()) => Status::ok("the stream ended"), Err(status) => status };
                    tracing::info!(replica, code = ?status.code(), why = status.message(), "following identity anew");
                    if status.code() == Code::OutOfRange {
                        self.resume_token.clear();
                    }
                }
            }
            replica = (replica + 1) % self.clients.len();
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(RETRY_PAUSE) => {}
            }
        }
    }

    async fn follow(&mut self, mut client: Client) -> Result<(), Status> {
        let silence = |_| Status::deadline_exceeded("no bookmark came in time");
        let request = wire::FollowRevocationsRequest {
            resume_token: self.resume_token.clone(),
        };
        let asked = Instant::now();
        let mut stream = tokio::time::timeout(MAX_SILENCE, client.follow_revocations(request))
            .await
            .map_err(silence)??
            .into_inner();
        loop {
            let next = tokio::time::timeout(MAX_SILENCE, stream.message())
                .await
                .map_err(silence)??;
            let Some(response) = next else { return Ok(()) };
            match response.item {
                Some(Item::Revocation(revocation)) => self.revocations.apply(parse(&revocation)),
                Some(Item::Bookmark(bookmark)) => self.bookmark(&bookmark, asked.elapsed())?,
                None => {}
            }
            if !response.resume_token.is_empty() {
                self.resume_token = response.resume_token;
            }
        }
    }

    fn bookmark(
        &self,
        bookmark: &wire::RevocationBookmark,
        since_asked: Duration,
    ) -> Result<(), Status> {
        let age = age(bookmark.age_ms, bookmark.stream_age_ms, since_asked);
        if self.resume_token.is_empty() {
            self.revocations.restart();
        }
        self.revocations.freshen(age);
        if age > FRESH {
            return Err(Status::unavailable("this replica's feed is old"));
        }
        Ok(())
    }
}

/// A revocation from the wire. An id that can't be read is everyone's: more ends, never less.
fn parse(wire: &wire::Revocation) -> Revocation {
    Revocation {
        subject: wire.subject.parse().ok(),
        tenant: wire.tenant_id.parse().ok(),
        ended: wire.ended,
    }
}

//! Keeps the view: follows one of registry's replicas, and goes to the next when its bookmarks grow old.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tenantry_core::TenantId;
use tenantry_proto::internal::registry::v1 as wire;
use tenantry_proto::internal::registry::v1::tenant_feed_service_client::TenantFeedServiceClient;
use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::{FRESH, View};
use crate::client::{CallAs, Replicas};

/// A client of one of registry's replicas.
pub(super) type Client = TenantFeedServiceClient<InterceptedService<Channel, CallAs>>;

/// Longest silence on the stream before the next replica is tried.
pub(crate) const MAX_SILENCE: Duration = FRESH;
/// Pause between attempts, so that an absent registry isn't hammered.
pub(crate) const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// A client of each replica.
pub(super) fn clients(registry: &Replicas) -> Vec<Client> {
    registry.each().map(TenantFeedServiceClient::new).collect()
}

/// Follows registry into a view.
#[derive(Debug)]
pub struct Follower {
    clients: Vec<Client>,
    view: Arc<View>,
    resume_token: String,
    /// The tenants of a list that isn't complete yet: what it leaves out was purged meanwhile.
    listed: Option<HashSet<TenantId>>,
}

impl Follower {
    /// A follower of registry's replicas.
    #[must_use]
    pub fn new(registry: &Replicas, view: Arc<View>) -> Self {
        Self {
            clients: clients(registry),
            view,
            resume_token: String::new(),
            listed: None,
        }
    }

    /// Follows until cancelled. Nothing else ends it: while registry is away, the view grows old, which its readers see.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut replica = 0;
        loop {
            let Some(client) = self.clients.get(replica).cloned() else {
                return;
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                ended = self.follow(client) => {
                    let status = match ended { Ok(()) => Status::ok("the stream ended"), Err(status) => status };
                    tracing::info!(replica, code = ?status.code(), why = status.message(), "following registry anew");
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
        let request = wire::FollowTenantsRequest {
            resume_token: self.resume_token.clone(),
        };
        if self.resume_token.is_empty() {
            self.listed = Some(HashSet::new());
        }
        let silence = |_| Status::deadline_exceeded("no bookmark came in time");
        let asked = Instant::now();
        let mut stream = tokio::time::timeout(MAX_SILENCE, client.follow_tenants(request))
            .await
            .map_err(silence)??
            .into_inner();
        loop {
            let next = tokio::time::timeout(MAX_SILENCE, stream.message())
                .await
                .map_err(silence)??;
            let Some(response) = next else { return Ok(()) };
            match response.item {
                Some(wire::follow_tenants_response::Item::Tenant(tenant)) => {
                    if let (Some(listed), Ok(id)) = (&mut self.listed, tenant.id.parse()) {
                        listed.insert(id);
                    }
                    self.view.apply(tenant);
                }
                Some(wire::follow_tenants_response::Item::Bookmark(bookmark)) => {
                    let age = age(bookmark.age_ms, bookmark.stream_age_ms, asked.elapsed());
                    if bookmark.complete {
                        if let Some(listed) = self.listed.take() {
                            self.view.keep_only(&listed);
                        }
                        self.view.freshen(age);
                    }
                    if age > FRESH {
                        return Err(Status::unavailable("this replica's feed is old"));
                    }
                }
                Some(wire::follow_tenants_response::Item::Plan(plan)) => {
                    self.view.apply_plan(&plan);
                }
                None => {}
            }
            if !response.resume_token.is_empty() {
                self.resume_token = response.resume_token;
            }
        }
    }
}

/// How old a view with this bookmark is, this long after its stream was asked for. A bookmark may have waited in a queue or
/// a socket. The stream began after it was asked for, so the bookmark is at most as old as the one age exceeds the other,
/// and no clock is compared with another's.
pub(crate) fn age(age_ms: i32, stream_age_ms: i64, since_asked: Duration) -> Duration {
    let made_at = u64::try_from(stream_age_ms).unwrap_or(0);
    let under_way = since_asked.saturating_sub(Duration::from_millis(made_at));
    Duration::from_millis(u64::try_from(age_ms).unwrap_or(0)) + under_way
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bookmark_that_was_under_way_is_older_by_that() {
        for (since_asked_ms, expected_ms) in
            [(10_000, 40), (10_005, 45), (13_000, 3_040), (9_999, 40)]
        {
            let since_asked = Duration::from_millis(since_asked_ms);
            assert_eq!(
                age(40, 10_000, since_asked),
                Duration::from_millis(expected_ms)
            );
        }
    }
}

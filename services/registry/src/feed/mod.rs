//! The feed of tenants and plans: list, then watch. First the present state, then each change in order, with bookmarks that tell how
//! fresh the follower is. A token of any item leads on behind it, on any replica.

mod change;
mod follow;
mod lineage;

use std::time::Duration;

use tenantry_core::{Reason, Refusal, RequestContext, TenantId};
use tenantry_proto::internal::registry::v1 as internal;
use tenantry_proto::registry::v1 as wire;
use tenantry_rpc::Tasks;
use tenantry_rpc::convert::timestamp;
use tenantry_rpc::revocations::Revocations;
use tenantry_rpc::stream::{StreamLife, StreamSlots};
use tenantry_store::Store;
use tenantry_store::feed::Tail;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::convert;
use crate::domain::tenant::Tenant;
use follow::{Follow, Item, Sink, Start, first_look};
use lineage::Lineage;

/// Most items that wait for a slow client; the feed's memory serves it again when it goes on.
const WAITING: usize = 256;
/// A bookmark comes at least this often, also when nothing changes.
const BOOKMARK_EVERY: Duration = Duration::from_millis(250);

/// Most streams of customers' own systems that a replica has open.
const WATCHES: usize = 1_000;
/// Most of them with one credential.
const WATCHES_OF_ONE: usize = 16;
/// Most streams of the fleet's own services, which customers can't take: a replica of a service has one.
const FOLLOWERS: usize = 256;

/// The feed of this replica.
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    store: Store,
    tail: Tail,
    tasks: Tasks,
    revocations: Revocations,
    watches: StreamSlots,
    followers: StreamSlots,
}

impl Feed {
    pub(crate) fn new(store: Store, tail: Tail, tasks: Tasks, revocations: Revocations) -> Self {
        Self {
            store,
            tail,
            tasks,
            revocations,
            watches: StreamSlots::new(WATCHES, WATCHES_OF_ONE),
            followers: StreamSlots::new(FOLLOWERS, FOLLOWERS),
        }
    }

    /// A stream for customers' own systems: of one tenant, or of all for an operator.
    pub(crate) async fn watch(
        &self,
        ctx: &RequestContext,
        tenant: Option<TenantId>,
        token: &str,
    ) -> Result<ReceiverStream<Result<wire::WatchTenantsResponse, Status>>, Refusal> {
        let scope = tenant.map_or_else(|| "all".to_owned(), |id| id.to_string());
        let sink = WatchSink {
            own: tenant.is_some(),
        };
        let life = StreamLife::new(ctx, self.watches.take(ctx)?, self.tasks.token());
        let lineage = match tenant {
            Some(own) => {
                first_look(&self.tail).await;
                Some(Lineage::read(&self.store, &self.tail, own).await?)
            }
            None => None,
        };
        let above = lineage.as_ref().map(|lineage| lineage.ids().to_vec());
        let revoked = self.revocations.watch(ctx, above.unwrap_or_default()).await;
        let life = life.until_revoked(revoked);
        let context = format!("watch {scope}");
        self.open(life, (tenant, lineage), context, token, sink)
    }

    /// A stream for the fleet's own services.
    pub(crate) async fn follow(
        &self,
        ctx: &RequestContext,
        token: &str,
    ) -> Result<ReceiverStream<Result<internal::FollowTenantsResponse, Status>>, Refusal> {
        let life = StreamLife::new(ctx, self.followers.take(ctx)?, self.tasks.token());
        self.open(life, (None, None), "follow".to_owned(), token, FollowSink)
    }

    fn open<S: Sink>(
        &self,
        life: StreamLife,
        (tenant, lineage): (Option<TenantId>, Option<Lineage>),
        context: String,
        token: &str,
        sink: S,
    ) -> Result<ReceiverStream<Result<S::Wire, Status>>, Refusal> {
        let start = if token.is_empty() {
            Start::Snapshot
        } else {
            let position = self.position(&context, token)?;
            if position < self.tail.head().floor {
                return Err(too_old());
            }
            Start::Behind(position)
        };
        let (sender, receiver) = mpsc::channel(WAITING);
        let follow = Follow {
            store: self.store.clone(),
            tail: self.tail.clone(),
            tenant,
            lineage,
            opened: Instant::now(),
            context,
            sink,
            sender,
        };
        self.tasks.spawn("feed stream", follow.run(start, life));
        Ok(ReceiverStream::new(receiver))
    }

    fn position(&self, context: &str, token: &str) -> Result<i64, Refusal> {
        self.store
            .sealer()
            .open_text(context.as_bytes(), token)
            .ok()
            .and_then(|plain| plain.try_into().ok())
            .map(i64::from_be_bytes)
            .ok_or_else(|| {
                Refusal::new(
                    Reason::InvalidResumeToken,
                    "The resume token isn't one of this stream. Send the last one that you received here, or none to begin anew.",
                )
            })
    }
}

fn too_old() -> Refusal {
    Refusal::new(
        Reason::ResumeTokenTooOld,
        "The resume token is older than what the feed keeps. Begin anew without a token.",
    )
}

fn out_of_use() -> Refusal {
    Refusal::new(
        Reason::StreamTenantStatus,
        "The tenant, or one above it, isn't in use any more or moved, which ends its streams. Reconnect if you still have access.",
    )
}

/// Public form. A stream of a tenant's own people ends when its status no longer admits them.
struct WatchSink {
    own: bool,
}

impl Sink for WatchSink {
    type Wire = wire::WatchTenantsResponse;

    fn wire(&self, item: Item, resume_token: String) -> Self::Wire {
        use wire::watch_tenants_response::Item as Wire;
        let item = match item {
            Item::State(tenant) => Wire::Change(wire::TenantChange {
                version: tenant.version,
                tenant: Some(convert::tenant(tenant)),
                action: String::new(),
                at: None,
            }),
            Item::Change(tenant, change) => Wire::Change(wire::TenantChange {
                version: tenant.version,
                tenant: Some(convert::tenant(tenant)),
                action: change.event.action.clone(),
                at: Some(timestamp(change.at)),
            }),
            Item::Plan(plan, change) => Wire::Plan(wire::PlanChange {
                plan: Some(convert::plan(plan)),
                at: change.as_ref().map(|change| timestamp(change.at)),
                action: change
                    .map(|change| change.event.action.clone())
                    .unwrap_or_default(),
            }),
            Item::Purged(tenant, change) => Wire::Change(wire::TenantChange {
                version: tenant.version,
                tenant: Some(convert::purged(tenant)),
                action: change.event.action.clone(),
                at: Some(timestamp(change.at)),
            }),
            Item::Bookmark { age, .. } => Wire::Bookmark(wire::Bookmark {
                age_ms: millis(age),
            }),
        };
        Self::Wire {
            item: Some(item),
            resume_token,
        }
    }

    fn end(&self, refusal: &Refusal) -> Option<Self::Wire> {
        Some(Self::Wire {
            item: Some(wire::watch_tenants_response::Item::End(wire::StreamEnd {
                reason: refusal.reason.word().to_owned(),
                message: refusal.message.clone(),
            })),
            resume_token: String::new(),
        })
    }

    fn ends_with(&self, tenant: &Tenant) -> Option<Refusal> {
        (self.own && !tenant.status.is_active()).then(out_of_use)
    }
}

/// Form for the fleet's own services.
struct FollowSink;

impl Sink for FollowSink {
    type Wire = internal::FollowTenantsResponse;

    fn wire(&self, item: Item, resume_token: String) -> Self::Wire {
        use internal::follow_tenants_response::Item as Wire;
        let item = match item {
            Item::State(tenant) | Item::Change(tenant, _) => Wire::Tenant(convert::entry(tenant)),
            Item::Plan(plan, _) => Wire::Plan(convert::plan(plan)),
            Item::Purged(tenant, _) => Wire::Tenant(convert::tombstone(tenant)),
            Item::Bookmark {
                age,
                stream_age,
                complete,
            } => Wire::Bookmark(internal::FeedBookmark {
                age_ms: millis(age),
                complete,
                stream_age_ms: i64::try_from(stream_age.as_millis()).unwrap_or(i64::MAX),
            }),
        };
        Self::Wire {
            item: Some(item),
            resume_token,
        }
    }

    fn end(&self, _refusal: &Refusal) -> Option<Self::Wire> {
        None
    }

    fn ends_with(&self, _tenant: &Tenant) -> Option<Refusal> {
        None
    }
}

fn millis(age: Duration) -> i32 {
    i32::try_from(age.as_millis()).unwrap_or(i32::MAX)
}

//! The feed of revocations that other services follow: what of identity's own feed ends a credential or changes rights.

use std::convert::Infallible;
use std::time::Duration;

use tenantry_core::event::Outcome;
use tenantry_core::{Reason, Refusal, RequestContext};
use tenantry_proto::internal::identity::v1 as wire;
use tenantry_proto::internal::identity::v1::follow_revocations_response::Item;
use tenantry_rpc::stream::{StreamLife, StreamSlots};
use tenantry_rpc::{Tasks, status};
use tenantry_store::Store;
use tenantry_store::feed::{FeedItem, Head, Read, Tail};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// Most items that wait for a slow follower.
const WAITING: usize = 256;
/// A bookmark comes at least this often, also when nothing changes.
const BOOKMARK_EVERY: Duration = Duration::from_millis(250);
/// Most streams that a replica has open: a replica of a service has one.
const FOLLOWERS: usize = 256;
/// A tail that old has never read the feed: wait for its first look.
const UNREAD: Duration = Duration::from_secs(3_600);
/// What a resume token is sealed for.
const CONTEXT: &[u8] = b"revocations";

type Sender = mpsc::Sender<Result<wire::FollowRevocationsResponse, Status>>;

/// The feed of this replica.
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    store: Store,
    tail: Tail,
    tasks: Tasks,
    followers: StreamSlots,
}

/// Why a stream stopped: its follower went, or it must end.
enum Stop {
    FollowerGone,
    Ended(Refusal),
}

impl From<tenantry_store::Error> for Stop {
    fn from(error: tenantry_store::Error) -> Self {
        Self::Ended(error.into())
    }
}

impl Feed {
    pub(crate) fn new(store: Store, tail: Tail, tasks: Tasks) -> Self {
        Self {
            store,
            tail,
            tasks,
            followers: StreamSlots::new(FOLLOWERS, FOLLOWERS),
        }
    }

    /// A stream for one of the fleet's own services: behind the token, else from now on.
    pub(crate) fn follow(
        &self,
        ctx: &RequestContext,
        token: &str,
    ) -> Result<ReceiverStream<Result<wire::FollowRevocationsResponse, Status>>, Refusal> {
        let life = StreamLife::new(ctx, self.followers.take(ctx)?, self.tasks.token());
        let position = if token.is_empty() {
            None
        } else {
            Some(self.position(token)?)
        };
        let opened = Instant::now();
        let (sender, receiver) = mpsc::channel(WAITING);
        let feed = self.clone();
        self.tasks.spawn("revocation stream", async move {
            let stop = tokio::select! {
                stopped = feed.stream(position, opened, &sender) => match stopped { Err(stop) => stop, Ok(never) => match never {} },
                refusal = life.ended() => Stop::Ended(refusal),
            };
            if let Stop::Ended(refusal) = stop {
                // A follower that doesn't read isn't waited for: it notices the silence.
                let _ = sender.try_send(Err(status(refusal)));
            }
        });
        Ok(ReceiverStream::new(receiver))
    }

    async fn stream(
        &self,
        position: Option<i64>,
        opened: Instant,
        sender: &Sender,
    ) -> Result<Infallible, Stop> {
        let mut ticks = self.tail.ticks();
        while self.tail.head().age() > UNREAD {
            // The tail lives as long as the process.
            let _ = ticks.changed().await;
        }
        let mut position = position.unwrap_or_else(|| self.tail.head().head);
        let mut bookmarked: Option<Instant> = None;
        loop {
            // Once per turn: a head that moved on meanwhile would date the bookmark by changes that weren't sent.
            let head = self.tail.head();
            let mut sent = false;
            match self.tail.after(position, None).await? {
                Read::TooOld => return Err(Stop::Ended(too_old())),
                Read::Items(items, next) => {
                    for item in items {
                        if let Some(revocation) = revocation(&item) {
                            self.send(sender, Item::Revocation(revocation), item.feed_n)
                                .await?;
                            sent = true;
                        }
                    }
                    position = next;
                }
            }
            if position < head.head {
                continue;
            }
            if sent || bookmarked.is_none_or(|at| at.elapsed() >= BOOKMARK_EVERY) {
                self.send(sender, bookmark(head, opened), position).await?;
                bookmarked = Some(Instant::now());
            }
            let wait =
                BOOKMARK_EVERY.saturating_sub(bookmarked.map_or(Duration::ZERO, |at| at.elapsed()));
            tokio::select! {
                _ = ticks.changed() => {}
                () = tokio::time::sleep(wait) => {}
                () = sender.closed() => return Err(Stop::FollowerGone),
            }
        }
    }

    async fn send(&self, sender: &Sender, item: Item, position: i64) -> Result<(), Stop> {
        let token = self
            .store
            .sealer()
            .seal_text(CONTEXT, &position.to_be_bytes());
        let response = wire::FollowRevocationsResponse {
            item: Some(item),
            resume_token: token,
        };
        sender
            .send(Ok(response))
            .await
            .map_err(|_| Stop::FollowerGone)
    }

    fn position(&self, token: &str) -> Result<i64, Refusal> {
        self.store
            .sealer()
            .open_text(CONTEXT, token)
            .ok()
            .and_then(|plain| plain.try_into().ok())
            .map(i64::from_be_bytes)
            // As for one too old: begin anew.
            .ok_or_else(too_old)
    }
}

fn bookmark(head: Head, opened: Instant) -> Item {
    Item::Bookmark(wire::RevocationBookmark {
        age_ms: i32::try_from(head.age().as_millis()).unwrap_or(i32::MAX),
        stream_age_ms: i64::try_from(opened.elapsed().as_millis()).unwrap_or(i64::MAX),
    })
}

fn too_old() -> Refusal {
    Refusal::new(
        Reason::ResumeTokenTooOld,
        "The resume token is older than what the feed keeps. Begin anew without a token.",
    )
}

/// Events that take nothing away. A stranger can bring some of them about: they must not end a person's streams.
const TAKES_NOTHING: &[&str] = &[
    "member.added",
    "session.started",
    "tenant.content_accessed",
    "user.locked",
    "user.password_reset_requested",
];

/// What an event revokes, if it can take anything away. What isn't known here is taken for a change of its resource; an
/// attempt that didn't succeed changed nothing.
fn revocation(item: &FeedItem) -> Option<wire::Revocation> {
    if item.event.outcome != Outcome::Success {
        return None;
    }
    let resource = &item.event.resource;
    let action = item.event.action.as_str();
    if action.ends_with(".created") || TAKES_NOTHING.contains(&action) {
        return None;
    }
    let subject = resource.id.to_string();
    let tenant_id = item.tenant_id.to_string();
    Some(match resource.kind.as_str() {
        "session" => wire::Revocation {
            subject,
            ended: true,
            ..Default::default()
        },
        "api_key" => wire::Revocation {
            subject,
            ended: action == "api_key.revoked",
            ..Default::default()
        },
        "member" => wire::Revocation {
            subject,
            tenant_id,
            ended: false,
        },
        // Whoever holds the role, here and below.
        "role" => wire::Revocation {
            tenant_id,
            ..Default::default()
        },
        _ => wire::Revocation {
            subject,
            ..Default::default()
        },
    })
}

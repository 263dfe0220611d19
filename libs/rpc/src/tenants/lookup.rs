//! Looks up single tenants at registry, and knows when there is no use in asking.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::{FutureExt as _, select_ok};
use moka::future::Cache;
use tenantry_core::TenantRef;
use tenantry_proto::internal::registry::v1 as wire;
use tonic::{Code, Status};

use super::TenantEntry;
use super::follower::{Client, clients};
use super::view::entry;
use crate::client::Replicas;

/// Longest wait for one look-up, all replicas together.
const LOOKUP_TIMEOUT: Duration = Duration::from_millis(800);
/// After a look-up that no replica answered: how long nobody asks, before one more look-up tries.
const PAUSE: Duration = Duration::from_millis(250);
/// How long a look-up's answer is given to others who ask the same while the view is old: then each request is one.
const LOOKUP_SHARED: Duration = Duration::from_millis(200);
/// Most look-ups remembered at once.
const LOOKUP_ENTRIES: u64 = 10_000;

type Answers = Cache<(String, TenantRef), Option<TenantEntry>>;

/// Looks up single tenants at registry, one call for all who ask the same at the same time.
#[derive(Clone, Debug)]
pub struct Lookup {
    clients: Vec<Client>,
    /// Look-ups under way. An answer goes to those who wait for it and to nobody later.
    under_way: Answers,
    recent: Answers,
    reach: Arc<Reach>,
}

impl Lookup {
    /// Look-ups at registry's replicas.
    #[must_use]
    pub fn new(registry: &Replicas) -> Self {
        Self {
            clients: clients(registry),
            under_way: answers(Duration::ZERO),
            recent: answers(LOOKUP_SHARED),
            reach: Arc::default(),
        }
    }

    /// Whether the last look-up for an old view had no answer.
    pub(super) fn is_out_of_reach(&self) -> bool {
        self.reach.is_lost()
    }

    /// The tenant as it was just before, if not as it is now: for a view that is old, where registry may be lost.
    pub(super) async fn recent(
        &self,
        project: &str,
        name: &TenantRef,
    ) -> Result<Option<TenantEntry>, Arc<Status>> {
        self.recent
            .try_get_with((project.to_owned(), name.clone()), async {
                if !self.reach.may_ask() {
                    return Err(Status::unavailable("no replica answered just before"));
                }
                let answer = self.now(project, name).await;
                if answer.is_err() {
                    self.reach.lose();
                }
                answer.map_err(Arc::unwrap_or_clone)
            })
            .await
    }

    /// The tenant as it is now, or as it was when a look-up began that is still under way: whoever has just made or moved it
    /// may join one that began before, and is told what was so up to [`LOOKUP_TIMEOUT`] ago. One that isn't answered says by
    /// itself nothing of registry: as long as the feed comes it is there, and busy, perhaps with one caller's many names.
    pub(super) async fn now(
        &self,
        project: &str,
        name: &TenantRef,
    ) -> Result<Option<TenantEntry>, Arc<Status>> {
        self.under_way
            .try_get_with((project.to_owned(), name.clone()), async {
                let answer = tokio::time::timeout(LOOKUP_TIMEOUT, self.ask(project, name)).await;
                let found = answer.map_err(|_elapsed| {
                    Status::deadline_exceeded("no replica answered in time")
                })??;
                self.reach.find();
                Ok::<_, Status>(found)
            })
            .await
    }

    /// Asks all replicas at once: the first answer counts, since one that hangs may not cost the others' time.
    async fn ask(&self, project: &str, name: &TenantRef) -> Result<Option<TenantEntry>, Status> {
        let request = match name {
            TenantRef::Id(id) => wire::LookupTenantRequest {
                id: id.to_string(),
                ..Default::default()
            },
            TenantRef::Slug(slug) => wire::LookupTenantRequest {
                id: String::new(),
                project: project.to_owned(),
                slug: slug.clone(),
            },
        };
        if self.clients.is_empty() {
            return Err(Status::unavailable("registry has no replica"));
        }
        let asked = self.clients.iter().map(|client| {
            let (mut client, request) = (client.clone(), request.clone());
            async move {
                match client.lookup_tenant(request).await {
                    Ok(found) => Ok(entry(found.into_inner())),
                    Err(status) if status.code() == Code::NotFound => Ok(None),
                    Err(status) => Err(status),
                }
            }
            .boxed()
        });
        select_ok(asked).await.map(|(found, _)| found)
    }
}

/// Answers that are remembered for so long.
fn answers(shared: Duration) -> Answers {
    Cache::builder()
        .max_capacity(LOOKUP_ENTRIES)
        .time_to_live(shared)
        .build()
}

/// Whether registry answers. While it doesn't, one look-up at a time tries, so that only its caller waits.
#[derive(Debug, Default)]
struct Reach {
    /// When the next look-up may try; `None` while registry answers.
    retry_at: Mutex<Option<Instant>>,
}

impl Reach {
    fn is_lost(&self) -> bool {
        self.lock().is_some()
    }

    /// Whether to ask now. A yes while registry is lost is a no for everyone else until that look-up has ended.
    fn may_ask(&self) -> bool {
        let mut retry_at = self.lock();
        let now = Instant::now();
        match *retry_at {
            None => true,
            Some(at) if now < at => false,
            Some(_) => {
                *retry_at = Some(now + LOOKUP_TIMEOUT + PAUSE);
                true
            }
        }
    }

    fn lose(&self) {
        *self.lock() = Some(Instant::now() + PAUSE);
    }

    fn find(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.retry_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_nobody_answers_one_asks_at_a_time() {
        let reach = Reach::default();
        assert!(reach.may_ask() && reach.may_ask());
        reach.lose();
        assert!(reach.is_lost() && !reach.may_ask());
        *reach.lock() = Some(Instant::now());
        assert!(reach.may_ask(), "its pause is over");
        assert!(!reach.may_ask(), "another is asking");
        reach.find();
        assert!(!reach.is_lost() && reach.may_ask() && reach.may_ask());
    }
}

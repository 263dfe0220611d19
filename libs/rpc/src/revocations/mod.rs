//! What ended or changed of credentials lately, as identity's feed tells it. A stream that is open ends with the credential
//! that opened it, and when the rights of its principal change: whoever still has access reconnects.
//!
//! While identity can't be reached, open streams live on for the grace, and then they end.

mod follower;

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tenantry_core::{PrincipalKind, Reason, Refusal, RequestContext, TenantId};
use tokio::sync::watch;
use uuid::Uuid;

use crate::client::Replicas;
use crate::tasks::Tasks;
use follower::Follower;

/// How long a revocation is remembered: longer than the life of an assertion that was made before it.
const REMEMBERED: Duration = Duration::from_secs(90);
/// Most revocations remembered; a stream that they outran ends.
const MOST: usize = 100_000;
/// A change of rights so short a time before the stream began may be unknown yet to whoever admitted its caller.
const SETTLED_AFTER: Duration = Duration::from_millis(1_500);
/// How often a stream looks whether identity is still in reach.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Longest wait of a new stream for identity's first word after this process started.
const FIRST_WORD_WITHIN: Duration = Duration::from_secs(1);

/// One thing that ended or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Revocation {
    /// The credential or principal; `None` for everyone in the tenant.
    subject: Option<Uuid>,
    /// Where; `None` for everywhere.
    tenant: Option<TenantId>,
    /// Whether it is a credential that ended for good.
    ended: bool,
}

/// The latest revocations of the fleet.
#[derive(Clone, Debug)]
pub struct Revocations {
    log: Arc<RwLock<Log>>,
    news: Arc<watch::Sender<()>>,
    settled: Arc<watch::Sender<bool>>,
    grace: Duration,
}

#[derive(Debug)]
struct Log {
    entries: VecDeque<(Instant, Revocation)>,
    /// Number of the first entry. Whoever has not read the one before it has missed something.
    first: u64,
    /// When everything that had happened was known.
    fresh: Instant,
}

impl Revocations {
    /// What identity's replicas tell, followed by a task of its own. Streams live without news for the grace.
    #[must_use]
    pub fn follow(identity: &Replicas, grace: Duration, tasks: &Tasks) -> Self {
        let revocations = Self::unheard(grace);
        let follower = Follower::new(identity, revocations.clone());
        tasks.keep("revocations", follower.run(tasks.token()));
        revocations
    }

    fn unheard(grace: Duration) -> Self {
        let log = Log {
            entries: VecDeque::new(),
            first: 0,
            fresh: Instant::now(),
        };
        Self {
            log: Arc::new(RwLock::new(log)),
            news: Arc::new(watch::Sender::new(())),
            settled: Arc::new(watch::Sender::new(false)),
            grace,
        }
    }

    /// What ends a stream of this caller that begins now and stands on these tenants: the one it shows, and all above it.
    /// Just after the start it waits a moment for identity's first word.
    pub async fn watch(&self, ctx: &RequestContext, lineage: Vec<TenantId>) -> RevocationWatch {
        let mut settled = self.settled.subscribe();
        // Without it the stream begins all the same, and ends with the first word.
        let _ = tokio::time::timeout(FIRST_WORD_WITHIN, settled.wait_for(|settled| *settled)).await;
        RevocationWatch {
            next: self.read().first,
            revocations: self.clone(),
            credential: ctx.credential.parse().ok(),
            principal: match ctx.principal.kind {
                PrincipalKind::Service | PrincipalKind::Anonymous => None,
                _ => Some(ctx.principal.id),
            },
            lineage,
            opened: Instant::now(),
        }
    }

    fn apply(&self, revocation: Revocation) {
        let now = Instant::now();
        let mut log = self.write();
        log.entries.push_back((now, revocation));
        while log
            .entries
            .front()
            .is_some_and(|(at, _)| now.duration_since(*at) > REMEMBERED)
            || log.entries.len() > MOST
        {
            log.entries.pop_front();
            log.first += 1;
        }
        drop(log);
        self.news.send_replace(());
    }

    /// Forgets all, because something may have been missed: every stream that is open ends.
    fn restart(&self) {
        let mut log = self.write();
        log.first += log.entries.len() as u64 + 1;
        log.entries.clear();
        drop(log);
        self.settled.send_replace(true);
        self.news.send_replace(());
    }

    /// Nobody is there to tell anything: no stream waits for a first word.
    fn settle(&self) {
        self.settled.send_replace(true);
    }

    /// Notes that everything up to `age` ago is known.
    fn freshen(&self, age: Duration) {
        let at = Instant::now().checked_sub(age);
        let mut log = self.write();
        log.fresh = at.map_or(log.fresh, |at| log.fresh.max(at));
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Log> {
        self.log.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Log> {
        self.log.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What ends one stream.
#[derive(Debug)]
pub struct RevocationWatch {
    revocations: Revocations,
    credential: Option<Uuid>,
    principal: Option<Uuid>,
    lineage: Vec<TenantId>,
    opened: Instant,
    /// Number of the first entry that the stream has not seen.
    next: u64,
}

impl RevocationWatch {
    /// Resolves with the reason once the stream must end. Cancel-safe.
    pub async fn revoked(&self) -> Refusal {
        let mut news = self.revocations.news.subscribe();
        let mut next = self.next;
        loop {
            if let Some(refusal) = self.look(&mut next) {
                return refusal;
            }
            tokio::select! {
                _ = news.changed() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    fn look(&self, next: &mut u64) -> Option<Refusal> {
        let log = self.revocations.read();
        if log.fresh.elapsed() > self.revocations.grace {
            return Some(out_of_reach());
        }
        let Some(seen) = next.checked_sub(log.first) else {
            return Some(rights_changed());
        };
        let seen = usize::try_from(seen).unwrap_or(usize::MAX);
        *next = log.first + log.entries.len() as u64;
        log.entries
            .iter()
            .skip(seen)
            .find_map(|(at, revocation)| self.ends_with(*at, revocation))
    }

    fn ends_with(&self, at: Instant, revocation: &Revocation) -> Option<Refusal> {
        let here = revocation
            .tenant
            .is_none_or(|id| self.lineage.contains(&id));
        let concerned = match revocation.subject {
            Some(id) => self.credential == Some(id) || self.principal == Some(id),
            None => self.principal.is_some(),
        };
        if !(here && concerned) {
            return None;
        }
        if revocation.ended {
            return Some(credential_ended());
        }
        (at + SETTLED_AFTER > self.opened).then(rights_changed)
    }
}

fn credential_ended() -> Refusal {
    Refusal::new(
        Reason::StreamCredentialEnded,
        "The session or key that opened this stream was ended. Sign in again, or use another key, and reconnect with your last resume token.",
    )
}

fn rights_changed() -> Refusal {
    Refusal::new(
        Reason::StreamRightsChanged,
        "What you may see here may have changed, which ends its streams. Reconnect with your last resume token if you still have access.",
    )
}

fn out_of_reach() -> Refusal {
    Refusal::new(
        Reason::Unavailable,
        "Nobody can say at present whether the credential that opened this stream still holds. Reconnect with your last resume token in a moment.",
    )
}

#[cfg(test)]
mod tests;

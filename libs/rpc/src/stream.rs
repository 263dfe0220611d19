//! Bounds on a stream's life: it ends, with a reason, when its credential expires or is revoked, when its principal's rights
//! change, when the process ends, and at fifteen minutes at the latest. Clients go on with their resume token. How many are
//! open at once is bounded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tenantry_core::{Reason, Refusal, RequestContext};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::revocations::RevocationWatch;

/// Longest life of a stream.
pub const MAX_LIFE: Duration = Duration::from_secs(15 * 60);

/// The streams that one replica may have open, in all and for each credential.
#[derive(Clone, Debug)]
pub struct StreamSlots {
    free: Arc<Semaphore>,
    taken: Arc<Mutex<HashMap<String, usize>>>,
    most_of_one: usize,
}

impl StreamSlots {
    /// Slots for this many streams, this many of them with one credential.
    #[must_use]
    pub fn new(most: usize, most_of_one: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(most)),
            taken: Arc::default(),
            most_of_one,
        }
    }

    /// A slot for one more stream, free again once it is dropped.
    ///
    /// # Errors
    /// OVERLOADED at either bound.
    pub fn take(&self, ctx: &RequestContext) -> Result<StreamSlot, Refusal> {
        let permit = Arc::clone(&self.free).try_acquire_owned().map_err(|_| {
            Refusal::overloaded(
                "This replica has as many open streams as it can serve. Try again; another replica may have room.",
            )
        })?;
        let credential = if ctx.credential.is_empty() {
            ctx.principal.key()
        } else {
            ctx.credential.clone()
        };
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(credential.clone()).or_default();
        if *count >= self.most_of_one {
            return Err(Refusal::overloaded(format!(
                "This credential has {} open streams here, as many as it may. Close one, or share one.",
                self.most_of_one
            )));
        }
        *count += 1;
        Ok(StreamSlot {
            taken: Arc::clone(&self.taken),
            credential,
            _permit: permit,
        })
    }
}

/// The place of one open stream.
#[derive(Debug)]
pub struct StreamSlot {
    taken: Arc<Mutex<HashMap<String, usize>>>,
    credential: String,
    _permit: OwnedSemaphorePermit,
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.credential) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.credential);
            }
        }
    }
}

/// When one stream must end. It holds the stream's slot.
#[derive(Debug)]
pub struct StreamLife {
    _slot: StreamSlot,
    ends_at: Instant,
    credential_ends: bool,
    shutdown: CancellationToken,
    revocations: Option<RevocationWatch>,
}

impl StreamLife {
    /// The life of a stream that begins now, of one of the fleet's own services: those have no credential to revoke.
    #[must_use]
    pub fn new(ctx: &RequestContext, slot: StreamSlot, shutdown: CancellationToken) -> Self {
        let credential = ctx
            .expires_at
            .and_then(|at| Duration::try_from(at.duration_since(tenantry_core::clock::now())).ok());
        let credential_ends = credential.is_some_and(|left| left < MAX_LIFE);
        let life = credential.map_or(MAX_LIFE, |left| left.min(MAX_LIFE));
        Self {
            _slot: slot,
            ends_at: Instant::now() + life,
            credential_ends,
            shutdown,
            revocations: None,
        }
    }

    /// The same for a caller from outside, whose stream a revocation ends.
    #[must_use]
    pub fn until_revoked(self, revocations: RevocationWatch) -> Self {
        Self {
            revocations: Some(revocations),
            ..self
        }
    }

    /// Resolves with the reason once the stream must end. Cancel-safe.
    pub async fn ended(&self) -> Refusal {
        tokio::select! {
            refusal = self.revoked() => refusal,
            () = self.shutdown.cancelled() => Refusal::new(
                Reason::StreamLifetimeReached,
                "This replica is shutting down. Reconnect with your last resume token.",
            ),
            () = tokio::time::sleep_until(self.ends_at) => if self.credential_ends {
                Refusal::new(
                    Reason::StreamCredentialEnded,
                    "The credential that opened this stream has expired. Sign in again and reconnect with your last resume token.",
                )
            } else {
                Refusal::new(
                    Reason::StreamLifetimeReached,
                    "A stream lives fifteen minutes. Reconnect with your last resume token.",
                )
            },
        }
    }

    async fn revoked(&self) -> Refusal {
        match &self.revocations {
            Some(revocations) => revocations.revoked().await,
            None => std::future::pending().await,
        }
    }
}

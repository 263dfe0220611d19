//! Bounds on a stream's life: it ends, with a reason, when its credential expires, when the process ends, and at fifteen
//! minutes at the latest. Clients go on with their resume token.

use std::time::Duration;

use tenantry_core::{Reason, Refusal, RequestContext};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Longest life of a stream.
pub const MAX_LIFE: Duration = Duration::from_secs(15 * 60);

/// When one stream must end.
#[derive(Debug)]
pub struct StreamLife {
    ends_at: Instant,
    credential_ends: bool,
    shutdown: CancellationToken,
}

impl StreamLife {
    /// The life of a stream that begins now.
    #[must_use]
    pub fn new(ctx: &RequestContext, shutdown: CancellationToken) -> Self {
        let credential = ctx
            .expires_at
            .and_then(|at| Duration::try_from(at.duration_since(tenantry_core::clock::now())).ok());
        let credential_ends = credential.is_some_and(|left| left < MAX_LIFE);
        let life = credential.map_or(MAX_LIFE, |left| left.min(MAX_LIFE));
        Self {
            ends_at: Instant::now() + life,
            credential_ends,
            shutdown,
        }
    }

    /// Resolves with the reason once the stream must end. Cancel-safe.
    pub async fn ended(&self) -> Refusal {
        tokio::select! {
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
}

//! Bounds on a stream's life: it ends, with a reason, when its credential expires or is revoked, when its principal's rights
//! change, when the process ends, and at fifteen minutes at the latest. Clients go on with their resume token. How many are
//! open at once is bounded, in all and for each tenant.

use std::time::Duration;

use jiff::Timestamp;
use tenantry_core::{Reason, Refusal, RequestContext, TenantId};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::places::{Place, Places};
use crate::revocations::RevocationWatch;

/// Longest life of a stream.
pub const MAX_LIFE: Duration = Duration::from_secs(15 * 60);

/// Of the slots, one tenant gets one in so many, with however many credentials.
const ONE_TENANT_OF: usize = 4;

/// The streams that one replica may have open, in all, for each tenant and for each credential.
#[derive(Clone, Debug)]
pub struct StreamSlots {
    of_tenants: Places<TenantId>,
    of_credentials: Places<String>,
}

impl StreamSlots {
    /// Slots for this many streams, this many of them with one credential.
    #[must_use]
    pub fn new(most: usize, most_of_one: usize) -> Self {
        Self {
            of_tenants: Places::new(most, most.div_ceil(ONE_TENANT_OF)),
            of_credentials: Places::new(most, most_of_one),
        }
    }

    /// A slot for one more stream, free again once it is dropped.
    ///
    /// # Errors
    /// OVERLOADED at each bound.
    pub fn take(&self, ctx: &RequestContext) -> Result<StreamSlot, Refusal> {
        let credential = if ctx.credential.is_empty() {
            ctx.principal.key()
        } else {
            ctx.credential.clone()
        };
        let of_credential = self.of_credentials.take(credential);
        let of_tenant = ctx.tenant_id().map(|id| self.of_tenants.take(id));
        Ok(StreamSlot {
            _of_credential: of_credential
                .map_err(|full| full.refusal("streams", "of this credential"))?,
            _of_tenant: of_tenant
                .transpose()
                .map_err(|full| full.refusal("streams", "of this tenant"))?,
        })
    }
}

/// The place of one open stream.
#[derive(Debug)]
pub struct StreamSlot {
    _of_credential: Place<String>,
    _of_tenant: Option<Place<TenantId>>,
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
        // One that has just ended, or has by this machine's clock, has no time left.
        let left = |at: Timestamp| {
            Duration::try_from(at.duration_since(tenantry_core::clock::now())).unwrap_or_default()
        };
        let credential = ctx.expires_at.map(left);
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

#[cfg(test)]
mod tests {
    use tenantry_core::{Permissions, TenantSelection};

    use super::*;

    #[test]
    fn a_tenant_with_many_credentials_leaves_slots_to_others() {
        let slots = StreamSlots::new(8, 1);
        let tenants = [TenantId::new(), TenantId::new()];
        let of = |tenant: usize, credential: &str| {
            let mut ctx = RequestContext::of_service("", Permissions::NONE);
            let (id, slug) = (tenants[tenant], String::new());
            ctx.tenant = TenantSelection::Chosen { id, slug };
            ctx.credential = credential.to_owned();
            slots.take(&ctx)
        };
        let _taken = [of(0, "one").unwrap(), of(0, "two").unwrap()];
        assert!(of(0, "three").is_err());
        assert!(of(1, "four").is_ok());
    }

    #[tokio::test]
    async fn a_stream_of_a_credential_that_is_over_ends_at_once() {
        let now = tenantry_core::clock::now();
        let mut ctx = RequestContext::of_service("registry", Permissions::NONE);
        ctx.expires_at = now.checked_sub(Duration::from_secs(2)).ok();
        assert!(ctx.expires_at.is_some());
        let slot = StreamSlots::new(1, 1).take(&ctx).unwrap();
        let life = StreamLife::new(&ctx, slot, CancellationToken::new());
        let ended = tokio::time::timeout(Duration::from_secs(5), life.ended());
        assert_eq!(ended.await.unwrap().reason, Reason::StreamCredentialEnded);
    }
}

//! Purges: a tenant's removal for good, from every service that keeps something of it.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tenantry_core::context::Origin;
use tenantry_core::{Principal, RequestContext, TenantId};

/// Longest pause after turns that failed.
const MAX_PAUSE: SignedDuration = SignedDuration::from_secs(60);

/// How much there is of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Count {
    pub(crate) kind: String,
    pub(crate) count: i64,
}

/// One service's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) service: String,
    /// What it had just before; `None` until it was asked.
    pub(crate) counts: Option<Vec<Count>>,
    pub(crate) acknowledged_at: Option<Timestamp>,
}

impl Part {
    /// What a service has, with nothing done about it.
    pub(crate) fn counted(service: &str, counts: Vec<Count>) -> Self {
        Self {
            service: service.to_owned(),
            counts: Some(counts),
            acknowledged_at: None,
        }
    }
}

/// Who started work that goes on by itself, and from where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StartedBy {
    pub(crate) actor: Principal,
    pub(crate) origin: Origin,
    /// Id of the session or key that was shown; work that began before it was kept has none.
    #[serde(default)]
    pub(crate) credential: String,
}

impl StartedBy {
    /// Whoever makes this request.
    pub(crate) fn of(ctx: &RequestContext) -> Self {
        Self {
            actor: ctx.principal.clone(),
            origin: ctx.origin.clone(),
            credential: ctx.credential.clone(),
        }
    }
}

/// A purge under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Purge {
    pub(crate) tenant: TenantId,
    pub(crate) started_at: Timestamp,
    pub(crate) started_by: StartedBy,
    pub(crate) parts: Vec<Part>,
    /// Turns that came to nothing, one after the other.
    pub(crate) failures: i32,
}

impl Purge {
    /// The part of a service; a new one where the service is younger than the purge.
    pub(crate) fn part(&mut self, service: &str) -> &mut Part {
        let place = self.parts.iter().position(|part| part.service == service);
        let place = place.unwrap_or_else(|| {
            self.parts.push(Part {
                service: service.to_owned(),
                counts: None,
                acknowledged_at: None,
            });
            self.parts.len() - 1
        });
        &mut self.parts[place]
    }

    /// How long to wait after this turn failed.
    pub(crate) fn pause(&self) -> SignedDuration {
        pause(self.failures)
    }
}

/// How long work rests after a turn that failed, with so many before it: twice as long each time, up to a minute.
pub(crate) fn pause(failures: i32) -> SignedDuration {
    SignedDuration::from_secs(1_i64 << failures.clamp(0, 6)).min(MAX_PAUSE)
}

/// What a purge removes, or how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// `None` where nothing was changed.
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) parts: Vec<Part>,
}

#[cfg(test)]
mod tests {
    use tenantry_core::Permissions;

    use super::*;

    #[test]
    fn pauses_grow_up_to_a_minute() {
        let mut purge = Purge {
            tenant: TenantId::new(),
            started_at: Timestamp::UNIX_EPOCH,
            started_by: StartedBy::of(&RequestContext::of_service("", Permissions::NONE)),
            parts: Vec::new(),
            failures: 0,
        };
        for (failures, seconds) in [(0, 1), (1, 2), (5, 32), (6, 60), (1_000, 60)] {
            purge.failures = failures;
            assert_eq!(purge.pause(), SignedDuration::from_secs(seconds));
        }
    }
}

//! The event that every change leaves beside it, in the same transaction.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::context::{Origin, Principal, RequestContext};
use crate::ids::EventId;

/// One change that happened. Its tenant, number and time stand in the outbox row that carries it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its identifier, the same wherever the event goes.
    pub id: EventId,
    /// What happened, as `tenant.suspended`.
    pub action: String,
    /// What it happened to.
    pub resource: Resource,
    /// Who did it.
    pub actor: Principal,
    /// State before; null for a creation. Secrets never appear.
    pub before: Value,
    /// State after; null for a removal. Secrets never appear.
    pub after: Value,
    /// Where the request came from.
    pub origin: Origin,
}

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Its type, as `tenant`.
    pub kind: String,
    /// Its id.
    pub id: Uuid,
}

impl Event {
    /// An event of this caller's request.
    #[must_use]
    pub fn of(
        ctx: &RequestContext,
        action: &str,
        kind: &str,
        id: Uuid,
        before: Value,
        after: Value,
    ) -> Self {
        Self {
            id: EventId::new(),
            action: action.to_owned(),
            resource: Resource {
                kind: kind.to_owned(),
                id,
            },
            actor: ctx.principal.clone(),
            before,
            after,
            origin: ctx.origin.clone(),
        }
    }

    /// An event of what a service does by itself, at no one's request.
    #[must_use]
    pub fn by_service(
        service: &str,
        action: &str,
        kind: &str,
        id: Uuid,
        before: Value,
        after: Value,
    ) -> Self {
        Self {
            id: EventId::new(),
            action: action.to_owned(),
            resource: Resource {
                kind: kind.to_owned(),
                id,
            },
            actor: Principal::service(service),
            before,
            after,
            origin: Origin::default(),
        }
    }
}

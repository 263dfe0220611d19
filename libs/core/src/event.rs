//! The event that every change leaves beside it, in the same transaction.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::context::{Origin, Principal, RequestContext};
use crate::ids::EventId;

/// One change that happened, or an attempt at one. Its tenant, number and time stand in the outbox row that carries it.
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
    /// Id of the session or key that it was done with; empty where nobody showed one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub credential: String,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Outcome::is_success")]
    pub outcome: Outcome,
    /// The word of the refusal, for what didn't succeed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// How an attempt at a change ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The change happened.
    #[default]
    Success,
    /// The caller may not do it.
    Denied,
    /// The caller may, and it couldn't be done.
    Failed,
}

impl Outcome {
    /// All outcomes.
    pub const ALL: &[Self] = &[Self::Success, Self::Denied, Self::Failed];

    /// The name, as the API shows it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }

    // By reference, as serde asks.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    const fn is_success(&self) -> bool {
        matches!(self, Self::Success)
    }
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
            credential: ctx.credential.clone(),
            outcome: Outcome::Success,
            reason: String::new(),
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
            credential: String::new(),
            outcome: Outcome::Success,
            reason: String::new(),
        }
    }
}

//! Attempts at changes that didn't succeed. One by someone who is known is told in a log before its refusal is answered;
//! what nobody is to be held to, or what is only malformed or too much, is counted. The stack asks for both; where the log and
//! the counts are is up to whoever implements [`Attempts`].

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::Value;
use tenantry_core::event::{Event, Outcome};
use tenantry_core::{Kind, PrincipalKind, Reason, Refusal, RequestContext, TenantId};
use tenantry_proto::methods::{Audit, Method};
use uuid::Uuid;

/// Where attempts are told and counted.
pub trait Attempts: Send + Sync + fmt::Debug {
    /// Tells one attempt in the log of whoever made it: once this returns, it is there for good.
    ///
    /// # Errors
    /// UNAVAILABLE, which the caller is answered then instead of what was refused.
    fn record(&self, attempt: Attempt) -> BoxFuture<'_, Result<(), Refusal>>;

    /// Counts a request that is not told by itself. Never waits.
    fn count(&self, counted: Counted);
}

/// One attempt at a change that was denied or failed.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Who made it, and whose log it belongs in.
    pub ctx: Arc<RequestContext>,
    /// What the log calls the change.
    pub audit: Audit,
    /// Id of what was to be changed; nil where the request names none.
    pub resource: Uuid,
    /// Why it was refused.
    pub reason: Reason,
}

impl Attempt {
    /// An attempt by this caller at what the request names by id. Where that isn't known, and the change is one of a tenant, it
    /// is the tenant that the caller acts in.
    #[must_use]
    pub fn new(
        ctx: Arc<RequestContext>,
        audit: Audit,
        named: Option<Uuid>,
        reason: Reason,
    ) -> Self {
        let acted_in = || {
            let of_tenant = audit.resource_type == "tenant" && audit.resource_id.is_some();
            ctx.tenant_id().filter(|_| of_tenant).map(TenantId::uuid)
        };
        Self {
            audit,
            resource: named.or_else(acted_in).unwrap_or_default(),
            reason,
            ctx,
        }
    }

    /// The event that tells it. Of the request nothing is in it but that one id: what else it holds may be secret.
    #[must_use]
    pub fn event(&self) -> Event {
        let Audit {
            action,
            resource_type,
            ..
        } = self.audit;
        Event {
            outcome: outcome(self.reason),
            reason: self.reason.word().to_owned(),
            ..Event::of(
                &self.ctx,
                action,
                resource_type,
                self.resource,
                Value::Null,
                Value::Null,
            )
        }
    }
}

/// How an attempt that was refused for this ended: a tenant that isn't there for the caller is one beyond its reach.
#[must_use]
pub const fn outcome(reason: Reason) -> Outcome {
    match (reason, reason.kind()) {
        (Reason::TenantNotFound, _) | (_, Kind::PermissionDenied | Kind::Unauthenticated) => {
            Outcome::Denied
        }
        _ => Outcome::Failed,
    }
}

/// A refused request that is only counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Address that it came from.
    pub ip: String,
    /// Why it was refused.
    pub reason: Reason,
    /// Full gRPC method.
    pub method: &'static str,
}

/// Has a refusal told or counted, whichever it is to be, before this caller hears of it. `named` is the id that the request
/// names, where it is known.
///
/// # Errors
/// UNAVAILABLE where it couldn't be told: then that is the answer.
pub async fn note(
    attempts: &dyn Attempts,
    method: &Method,
    ctx: &Arc<RequestContext>,
    named: Option<Uuid>,
    reason: Reason,
) -> Result<(), Refusal> {
    match Fate::of(method, reason, ctx.principal.kind) {
        Fate::Forgotten => {}
        Fate::Counted => attempts.count(Counted {
            ip: ctx.origin.ip.clone(),
            reason,
            method: method.path,
        }),
        Fate::Told(audit) => {
            let attempt = Attempt::new(Arc::clone(ctx), audit, named, reason);
            attempts.record(attempt).await?;
        }
    }
    Ok(())
}

/// Has a refusal counted, where it is to be, from before anyone knew whose the request is.
pub fn count(attempts: &dyn Attempts, method: &Method, ip: &str, reason: Reason) {
    if Fate::of(method, reason, PrincipalKind::Anonymous) == Fate::Counted {
        attempts.count(Counted {
            ip: ip.to_owned(),
            reason,
            method: method.path,
        });
    }
}

/// What becomes of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is told by itself.
    Told(Audit),
    /// It is counted.
    Counted,
    /// Neither: nothing was to be changed, or nobody can say whether it was.
    Forgotten,
}

impl Fate {
    /// Of a refusal with this reason. Internal methods are called on behalf of requests whose own refusal is told where they
    /// came in. At a deadline, where something doesn't answer, and at a fault of ours, which may be one behind the commit, the
    /// change may have happened: its own event tells then.
    fn of(method: &Method, reason: Reason, caller: PrincipalKind) -> Self {
        let known = !matches!(caller, PrincipalKind::Anonymous | PrincipalKind::Service);
        match (reason.kind(), method.audit) {
            _ if method.internal => Self::Forgotten,
            (Kind::Unavailable | Kind::DeadlineExceeded | Kind::Internal, _) => Self::Forgotten,
            // Whoever asks in vain for anything at all, or for too much of it, is of interest.
            (Kind::Unauthenticated | Kind::ResourceExhausted, _) => Self::Counted,
            (_, None) => Self::Forgotten,
            (Kind::InvalidArgument | Kind::OutOfRange | Kind::Unimplemented, Some(_)) => {
                Self::Counted
            }
            (
                Kind::PermissionDenied
                | Kind::NotFound
                | Kind::AlreadyExists
                | Kind::Aborted
                | Kind::FailedPrecondition,
                Some(audit),
            ) => {
                if known {
                    Self::Told(audit)
                } else {
                    Self::Counted
                }
            }
        }
    }
}

//! Calls that stay open both ways: messages of one tenant come, and each has its answer.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, Stream, StreamExt as _};
use tenantry_core::{Permission, Reason, Refusal, RequestContext};
use tenantry_rpc::tenants::TenantEntry;
use tenantry_rpc::{open, status};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming};

use crate::app::{App, Bounds};

/// Longest wait for the first message, which says whose stream it is.
const FIRST_WITHIN: Duration = Duration::from_secs(10);

/// What a stream answers.
pub(crate) type Answers<A> = Pin<Box<dyn Stream<Item = Result<A, Status>> + Send>>;

/// A message that says of which tenant it is.
pub(crate) trait OfTenant {
    /// Id or slug; empty where that was said before, or it is the caller's own.
    fn tenant(&self) -> &str;
}

/// Whose stream it is.
#[derive(Debug)]
pub(crate) struct Whose {
    pub(crate) app: Arc<App>,
    pub(crate) ctx: Arc<RequestContext>,
    pub(crate) tenant: TenantEntry,
    /// As what the first message names it.
    named: String,
}

impl Whose {
    /// Refuses what names another tenant than the first message did.
    pub(crate) fn check(&self, name: &str) -> Result<(), Refusal> {
        if name.is_empty() || name == self.named {
            return Ok(());
        }
        Err(Refusal::field(
            "tenant",
            "is another one than the first message of the stream names; leave it empty",
        ))
    }
}

/// Decides what comes of a tenant that the caller may tell of.
pub(crate) async fn serve<Q, A, F>(
    app: &Arc<App>,
    request: Request<Streaming<Q>>,
    bounds: Bounds,
    decide: impl Fn(Arc<Whose>, Q) -> F + Send + Sync + 'static,
) -> Result<Answers<A>, Refusal>
where
    Q: OfTenant + Send + 'static,
    A: Send + 'static,
    F: Future<Output = A> + Send,
{
    let mut call = open(request)?;
    let first = first(&mut call.message).await?;
    let named = first.tenant().to_owned();
    let tenant = app.authorise(&call.ctx, &named, Permission::UsageRecord);
    let whose = Arc::new(Whose {
        app: Arc::clone(app),
        tenant: tenant.await?,
        ctx: call.ctx,
        named,
    });
    let broken = |status: Status| Refusal::new(Reason::InvalidArgument, status.message());
    let others = call.message.map(move |message| message.map_err(broken));
    let messages = stream::iter([Ok(first)]).chain(others);
    let of = Arc::clone(&whose);
    let decide = move |message| decide(Arc::clone(&of), message);
    let answers = app.converse(&whose.ctx, &whose.tenant, (messages, bounds), decide);
    let answers = ReceiverStream::new(answers.await?);
    Ok(Box::pin(answers.map(|answer| answer.map_err(status))))
}

async fn first<Q>(messages: &mut Streaming<Q>) -> Result<Q, Refusal> {
    let invalid = |why: &str| Refusal::new(Reason::InvalidArgument, why);
    match tokio::time::timeout(FIRST_WITHIN, messages.message()).await {
        Ok(Ok(Some(first))) => Ok(first),
        Ok(Ok(None)) => Err(invalid(
            "The stream ended before a message came. Send at least one.",
        )),
        Ok(Err(status)) => Err(invalid(status.message())),
        Err(_) => Err(invalid(
            "No message came within 10 seconds. Send the first one, which names the tenant, with the call.",
        )),
    }
}

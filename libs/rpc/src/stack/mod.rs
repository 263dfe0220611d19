//! The one stack that every request of every service passes, top to bottom:
//!
//! 1. origin: who called from where, and under which trace, as the gateway says
//! 2. span and metrics: outermost, so that whatever happens below is seen
//! 3. attempts: what is refused below, of changes, is told in a log or counted before the caller hears of it
//! 4. identity: nothing below runs without knowing for whom
//! 5. load: a bounded number of requests at once, in all and for each tenant; beyond it, an answer instead of a queue
//! 6. deadline: the caller's, at most ours
//! 7. panic: a fault in one request ends that request alone
//!
//! then the handler.

mod attempts;
mod identity;
mod load;
mod origin;
mod telemetry;
mod wire;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tenantry_core::{Origin, Reason, Refusal};
use tonic::body::Body;
use tower::{Layer, Service};
use tracing::Instrument as _;

use crate::assertion::{self, Verifier};
use crate::attempts::Attempts;
use crate::status::status;
use attempts::Watched;
pub use origin::origin_of;

/// Longest time for an answer, where the caller sets no shorter one.
const MAX_DEADLINE: Duration = Duration::from_secs(30);
/// How much sooner than the caller, or the transport for it, gives up: the answer has to get there. Of a short deadline it is
/// a tenth.
const ANSWERED_BEFORE: Duration = Duration::from_millis(50);

/// The stack as a tower layer.
#[derive(Clone, Debug)]
pub struct Stack {
    shared: Arc<Shared>,
    attempts: Option<Arc<dyn Attempts>>,
}

#[derive(Debug)]
struct Shared {
    service: &'static str,
    verifier: Verifier,
    load: load::Load,
    meters: telemetry::Meters,
}

impl Stack {
    /// The stack of the service of this name.
    #[must_use]
    pub fn new(service: &'static str, verifier: Verifier) -> Self {
        Self {
            shared: Arc::new(Shared {
                service,
                verifier,
                load: load::Load::new(),
                meters: telemetry::Meters::new(service),
            }),
            attempts: None,
        }
    }

    /// The same stack, which has refused attempts told and counted there.
    #[must_use]
    pub fn recording(self, attempts: Arc<dyn Attempts>) -> Self {
        Self {
            attempts: Some(attempts),
            ..self
        }
    }
}

impl<S> Layer<S> for Stack {
    type Service = Stacked<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Stacked {
            inner,
            stack: self.clone(),
        }
    }
}

/// A service behind the stack.
#[derive(Clone, Debug)]
pub struct Stacked<S> {
    inner: S,
    stack: Stack,
}

impl<S> Service<http::Request<Body>> for Stacked<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        let stack = self.stack.clone();
        Box::pin(async move { Ok(observe(stack, inner, request).await) })
    }
}

/// Who hands a request to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    /// By its word.
    Gateway,
    /// By the assertion of a call of an internal method.
    Service,
    /// Whoever asks for health, and whoever has no business here.
    Unknown,
}

/// Where a request came from.
#[derive(Debug)]
struct Source {
    origin: Origin,
    sender: Sender,
}

/// Steps 1 and 2.
async fn observe<S>(
    Stack { shared, attempts }: Stack,
    inner: S,
    request: http::Request<Body>,
) -> http::Response<Body>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
{
    let began = Instant::now();
    let sender = identity::sender(&shared.verifier, &request);
    let (span, origin) = origin::open(shared.service, &request, sender);
    let source = Source { origin, sender };
    let method = telemetry::method_label(request.uri().path());
    let attempts = attempts.filter(|_| !identity::is_exempt(request.uri().path()));
    let watched = Watched::new(attempts.as_ref(), request.uri().path(), &source.origin.ip);
    let response = match admit(&shared, watched, inner, request, source)
        .instrument(span.clone())
        .await
    {
        Ok(response) => response,
        Err(refusal) => span.in_scope(|| {
            telemetry::log_refusal(&refusal);
            status(refusal).into_http()
        }),
    };
    telemetry::record(&span, &shared.meters, method, &response, began.elapsed());
    response
}

/// Steps 3 to 6.
async fn admit<S>(
    shared: &Shared,
    mut watched: Option<Watched>,
    inner: S,
    mut request: http::Request<Body>,
    source: Source,
) -> Result<http::Response<Body>, Refusal>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
{
    let count = |refused: &Refusal| {
        if let Some(watched) = &watched {
            watched.count(refused);
        }
    };
    let ctx = identity::establish(&shared.verifier, &request, source).inspect_err(count)?;
    let place = shared.load.take(request.uri().path(), ctx.as_ref());
    let _place = place.inspect_err(count)?;
    let deadline = deadline(request.headers());
    request.headers_mut().remove(assertion::HEADER);
    request.headers_mut().remove(assertion::WORD);
    let Some(ctx) = ctx.map(Arc::new) else {
        // Health and the gateway's question are answered in their own contracts' words.
        return in_time(deadline, handle(inner, request)).await;
    };
    request.extensions_mut().insert(Arc::clone(&ctx));
    if let Some(watched) = &mut watched {
        request = watched.keep(request);
    }
    let answer = async {
        let answered = handle(inner, request).await.and_then(wire::told);
        if let Some(watched) = &watched
            && let Some(reason) = attempts::refused(&answered)
        {
            watched.note(&ctx, reason).await?;
        }
        answered
    };
    in_time(deadline, answer).await
}

/// The answer, or that it didn't come in its time. Then nobody can say what became of the request.
async fn in_time(
    deadline: Duration,
    answer: impl Future<Output = Result<http::Response<Body>, Refusal>>,
) -> Result<http::Response<Body>, Refusal> {
    tokio::time::timeout(deadline, answer).await.unwrap_or_else(|_elapsed| {
        Err(Refusal::new(
            Reason::DeadlineExceeded,
            "The request didn't end in its time. If it was a change, send it again with the same request id to learn its outcome.",
        ))
    })
}

/// Step 7.
async fn handle<S>(
    mut inner: S,
    request: http::Request<Body>,
) -> Result<http::Response<Body>, Refusal>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
{
    match AssertUnwindSafe(inner.call(request)).catch_unwind().await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(never)) => match never {},
        Err(_panic) => {
            tracing::error!("a handler panicked");
            Err(Refusal::internal())
        }
    }
}

/// A little less than the caller's deadline (gRPC's `grpc-timeout`: up to 8 digits and a unit), at most ours.
fn deadline(headers: &http::HeaderMap) -> Duration {
    let asked = || {
        let text = headers.get("grpc-timeout")?.to_str().ok()?;
        let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let amount: u64 = digits.parse().ok()?;
        match unit {
            "H" => Some(Duration::from_secs(amount.saturating_mul(3600))),
            "M" => Some(Duration::from_secs(amount.saturating_mul(60))),
            "S" => Some(Duration::from_secs(amount)),
            "m" => Some(Duration::from_millis(amount)),
            "u" => Some(Duration::from_micros(amount)),
            "n" => Some(Duration::from_nanos(amount)),
            _ => None,
        }
    };
    let asked = asked().map(|asked| asked - (asked / 10).min(ANSWERED_BEFORE));
    asked.map_or(MAX_DEADLINE, |asked| asked.min(MAX_DEADLINE))
}

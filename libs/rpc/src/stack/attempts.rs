//! Step 3: no attempt at a change is refused without a trace. Someone's who is known is in a log before the refusal is
//! answered, all others are counted; `crate::attempts` says which are which. Whoever hangs up before the answer has none, and
//! may leave no trace either.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};
use prost::encoding::{DecodeContext, WireType, bytes as of_bytes, decode_key, skip_field};
use tenantry_core::{Reason, Refusal, RequestContext};
use tenantry_proto::methods::{self, Method};
use tonic::Status;
use tonic::body::Body;
use uuid::Uuid;

use crate::attempts::{self, Attempts};

/// Most of a request that is kept to find an id in, in bytes. Larger ones are of changes that name none.
const MOST_KEPT: usize = 64 * 1024;
/// What stands before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// One request of the contracts, as long as it may be refused.
pub(super) struct Watched {
    attempts: Arc<dyn Attempts>,
    method: &'static Method,
    ip: String,
    kept: Option<Kept>,
}

impl Watched {
    /// The request for this path from this address; none where nothing of it is told or counted.
    pub(super) fn new(attempts: Option<&Arc<dyn Attempts>>, path: &str, ip: &str) -> Option<Self> {
        let attempts = attempts?;
        let method = methods::find(path).filter(|method| !method.internal)?;
        Some(Self {
            attempts: Arc::clone(attempts),
            method,
            ip: ip.to_owned(),
            kept: None,
        })
    }

    /// Counts a refusal from before anyone knows, or cares, whose the request is.
    pub(super) fn count(&self, refusal: &Refusal) {
        attempts::count(&*self.attempts, self.method, &self.ip, refusal.reason);
    }

    /// Keeps what of the request's body an id may have to be found in.
    pub(super) fn keep(&mut self, request: http::Request<Body>) -> http::Request<Body> {
        if self.field().is_none() {
            return request;
        }
        let kept = Kept::default();
        self.kept = Some(kept.clone());
        request.map(|body| Body::new(Keeping { body, kept }))
    }

    /// Tells or counts what was refused for this.
    ///
    /// # Errors
    /// UNAVAILABLE where it couldn't be told: then that is the answer.
    pub(super) async fn note(
        &self,
        ctx: &Arc<RequestContext>,
        reason: Reason,
    ) -> Result<(), Refusal> {
        let named = self.kept.as_ref().zip(self.field());
        let named = named.and_then(|(kept, field)| kept.id(field));
        attempts::note(&*self.attempts, self.method, ctx, named, reason).await
    }

    fn field(&self) -> Option<u32> {
        self.method.audit.and_then(|audit| audit.resource_id)
    }
}

/// The reason, where this is a refusal.
pub(super) fn refused(answered: &Result<http::Response<Body>, Refusal>) -> Option<Reason> {
    match answered {
        Err(refusal) => Some(refusal.reason),
        Ok(response) => {
            let status = Status::from_header_map(response.headers())?;
            crate::status::refusal(&status).map(|refusal| refusal.reason)
        }
    }
}

/// What came of a request's body, as it came: nothing of it is copied.
#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Frames>>);

#[derive(Debug, Default)]
struct Frames {
    data: Vec<Bytes>,
    bytes: usize,
}

impl Kept {
    fn add(&self, data: &Bytes) {
        let mut frames = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        frames.bytes = frames.bytes.saturating_add(data.len());
        if frames.bytes <= MOST_KEPT {
            frames.data.push(data.clone());
        } else {
            frames.data.clear();
        }
    }

    /// The id in this field of the message. None where it isn't one, and where the message isn't there in whole: of a field that
    /// comes twice the last one counts.
    fn id(&self, field: u32) -> Option<Uuid> {
        let frames = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut body = frames.data.concat();
        drop(frames);
        let compressed = *body.first()? != 0;
        let length = u32::from_be_bytes(body.get(1..PREFIX)?.try_into().ok()?);
        let message = body.split_off(PREFIX);
        if compressed || usize::try_from(length) != Ok(message.len()) {
            return None;
        }
        let text = field_of(Bytes::from(message), field)?;
        std::str::from_utf8(&text).ok()?.parse().ok()
    }
}

/// The bytes of a field of a message.
fn field_of(mut message: Bytes, field: u32) -> Option<Bytes> {
    let mut found = None;
    while message.has_remaining() {
        let (tag, wire_type) = decode_key(&mut message).ok()?;
        let context = DecodeContext::default();
        if tag == field && wire_type == WireType::LengthDelimited {
            let mut value = Bytes::new();
            of_bytes::merge(wire_type, &mut value, &mut message, context).ok()?;
            found = Some(value);
        } else {
            skip_field(wire_type, tag, &mut message, context).ok()?;
        }
    }
    found
}

/// A body whose data are kept as they pass.
struct Keeping {
    body: Body,
    kept: Kept,
}

impl http_body::Body for Keeping {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.kept.add(data);
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

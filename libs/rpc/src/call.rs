//! What a handler begins and ends with: the caller's context and the message in, an answer or a refusal out.

use std::sync::Arc;

use prost::Message;
use tenantry_core::request_id::RequestKey;
use tenantry_core::{Refusal, RequestContext};
use tonic::{Request, Response, Status};

use crate::status::status;

/// Header that carries a request id over REST.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// One request as a handler sees it.
#[derive(Debug)]
pub struct Call<T> {
    /// Who asks.
    pub ctx: Arc<RequestContext>,
    /// What for.
    pub message: T,
    idempotency_key: Option<String>,
}

/// Takes a request apart.
///
/// # Errors
/// TENANT_CONFLICT where the request names two tenants, INVALID_ARGUMENT for two idempotency keys, INTERNAL for a request
/// that didn't pass the stack, which a server can't receive.
pub fn open<T>(request: Request<T>) -> Result<Call<T>, Refusal> {
    let (metadata, mut extensions, message) = request.into_parts();
    let ctx = extensions
        .remove::<Arc<RequestContext>>()
        .ok_or_else(Refusal::internal)?;
    ctx.named_once()?;
    if metadata.get_all(IDEMPOTENCY_KEY).iter().count() > 1 {
        return Err(Refusal::field(
            "Idempotency-Key",
            "comes more than once; send one",
        ));
    }
    let idempotency_key = match metadata.get(IDEMPOTENCY_KEY) {
        None => None,
        Some(value) => Some(
            value
                .to_str()
                .map_err(|_| Refusal::field("Idempotency-Key", "must be printable ASCII"))?
                .to_owned(),
        ),
    };
    Ok(Call {
        ctx,
        message,
        idempotency_key,
    })
}

impl<T: Message> Call<T> {
    /// The key under which this change is done once. `request_id` is taken out of the message, so that the digest covers
    /// the rest.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for an id of a wrong form, REQUEST_ID_CONFLICT for two that differ.
    pub fn request_key(
        &mut self,
        request_id: impl FnOnce(&mut T) -> &mut String,
    ) -> Result<Option<RequestKey>, Refusal> {
        let id = std::mem::take(request_id(&mut self.message));
        RequestKey::new(
            &self.ctx,
            &id,
            self.idempotency_key.as_deref(),
            &self.message.encode_to_vec(),
        )
    }
}

/// Turns a handler's outcome into what tonic sends.
///
/// # Errors
/// The refusal, as a status.
pub async fn answer<T>(
    handler: impl Future<Output = Result<T, Refusal>>,
) -> Result<Response<T>, Status> {
    handler.await.map(Response::new).map_err(status)
}

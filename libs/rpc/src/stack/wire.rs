//! What the transport itself refuses, below the handlers: messages that can't be decoded, methods that don't exist. Its
//! words are a library's; the caller gets a refusal like any other.

use tenantry_core::{Reason, Refusal};
use tonic::body::Body;
use tonic::{Code, Status};

/// The response, unless it is an error that carries none of our details.
pub(super) fn told(response: http::Response<Body>) -> Result<http::Response<Body>, Refusal> {
    let Some(status) = Status::from_header_map(response.headers()) else {
        return Ok(response);
    };
    if status.code() == Code::Ok || !status.details().is_empty() {
        return Ok(response);
    }
    match status.code() {
        Code::Unimplemented => Err(Refusal::new(
            Reason::UnknownMethod,
            "There is no such method here, or its message is compressed in a way that isn't taken. Reflection lists the methods.",
        )),
        // So tonic calls a message that is too large.
        Code::OutOfRange => Err(Refusal::new(
            Reason::BodyTooLarge,
            "The message is larger than 4 MiB. Send less at once.",
        )),
        // And so one that isn't any.
        Code::Internal => {
            tracing::debug!(why = status.message(), "message refused");
            Err(Refusal::new(
                Reason::InvalidArgument,
                "The message can't be read: it isn't of the method's type, or nests deeper than 32.",
            ))
        }
        code => {
            tracing::error!(?code, why = status.message(), "a status without details");
            Err(Refusal::internal())
        }
    }
}

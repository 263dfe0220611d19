//! Idempotent request ids: the same id from the same principal on the same method is the same request.

use sha2::{Digest as _, Sha256};

use crate::context::RequestContext;
use crate::refusal::{Reason, Refusal};

/// Longest request id, in characters.
pub const MAX_LENGTH: usize = 128;

/// What a repeated request is recognised by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestKey {
    /// Who asked.
    pub principal: String,
    /// Which method.
    pub method: String,
    /// The caller's id of the request.
    pub request_id: String,
    /// SHA-256 over the decoded request without its id: another body under the same id is refused.
    pub digest: [u8; 32],
}

impl RequestKey {
    /// The key of a request, or `None` where the caller gave no id. `in_message` is the message's field, `in_header` the
    /// `Idempotency-Key` header, `body` the encoded message without the field.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for an id of a wrong form, REQUEST_ID_CONFLICT for two that differ.
    pub fn new(
        ctx: &RequestContext,
        in_message: &str,
        in_header: Option<&str>,
        body: &[u8],
    ) -> Result<Option<Self>, Refusal> {
        let request_id = match (in_message, in_header.unwrap_or_default()) {
            ("", "") => return Ok(None),
            ("", id) | (id, "") => id,
            (one, other) if one == other => one,
            _ => {
                return Err(Refusal::new(
                    Reason::RequestIdConflict,
                    "request_id and the Idempotency-Key header differ. Send one of them, or the same in both.",
                ));
            }
        };
        if request_id.len() > MAX_LENGTH || !request_id.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Refusal::field(
                "request_id",
                "must be 1 to 128 printable ASCII characters without spaces, best a UUID",
            ));
        }
        Ok(Some(Self {
            principal: ctx.principal.key(),
            method: ctx.method.clone(),
            request_id: request_id.to_owned(),
            digest: Sha256::digest(body).into(),
        }))
    }

    /// The associated data that binds a sealed secret to this key in this tenant.
    #[must_use]
    pub fn associated_data(&self, tenant: crate::TenantId) -> Vec<u8> {
        format!(
            "{tenant}\n{}\n{}\n{}",
            self.principal, self.method, self.request_id
        )
        .into_bytes()
    }
}

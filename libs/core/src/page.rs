//! Pages of a list: their size, and the opaque token that leads to the next one.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::refusal::{Reason, Refusal};
use crate::seal::Sealer;

/// Size of a page where the caller names none.
pub const DEFAULT_SIZE: u32 = 50;
/// Largest page.
pub const MAX_SIZE: u32 = 1000;

/// Brings the caller's page size into 1..=1000 (AIP-158: too large is coerced, negative is refused).
///
/// # Errors
/// INVALID_ARGUMENT for a negative size.
pub fn size(asked: i32) -> Result<u32, Refusal> {
    match u32::try_from(asked) {
        Ok(0) => Ok(DEFAULT_SIZE),
        Ok(size) => Ok(size.min(MAX_SIZE)),
        Err(_) => Err(Refusal::field(
            "page_size",
            "must not be negative; 0 means 50",
        )),
    }
}

/// One page of a list.
#[derive(Debug)]
pub struct Page<T> {
    /// What it shows.
    pub items: Vec<T>,
    /// Leads to the next page; empty on the last one.
    pub next_page_token: String,
}

impl<T> Page<T> {
    /// The page of this size, from a read of one more than that; `token` is for the position of its last item.
    #[must_use]
    pub fn cut(mut items: Vec<T>, size: u32, token: impl FnOnce(&T) -> String) -> Self {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let more = items.len() > size;
        items.truncate(size);
        let last = items.last().filter(|_| more);
        Self {
            next_page_token: last.map(token).unwrap_or_default(),
            items,
        }
    }
}

/// Binds page tokens to one list, one caller's view and one set of parameters: a token moves within what the request
/// itself may see and grants nothing.
#[derive(Debug)]
pub struct PageTokens<'a> {
    sealer: &'a Sealer,
    context: [u8; 32],
}

impl<'a> PageTokens<'a> {
    /// Tokens of the list `method` with these parameters.
    #[must_use]
    pub fn new(sealer: &'a Sealer, method: &str, parameters: &[&str]) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"page\n");
        for part in std::iter::once(&method).chain(parameters) {
            hash.update(part.len().to_be_bytes());
            hash.update(part.as_bytes());
        }
        Self {
            sealer,
            context: hash.finalize().into(),
        }
    }

    /// The token for the page behind this position.
    #[must_use]
    pub fn write(&self, position: &impl Serialize) -> String {
        let plain = serde_json::to_vec(position).unwrap_or_default();
        self.sealer.seal_text(&self.context, &plain)
    }

    /// The position that a token stands for; `None` for the first page.
    ///
    /// # Errors
    /// INVALID_PAGE_TOKEN for anything that isn't a token of this list and these parameters.
    pub fn read<P: DeserializeOwned>(&self, token: &str) -> Result<Option<P>, Refusal> {
        if token.is_empty() {
            return Ok(None);
        }
        self.sealer
            .open_text(&self.context, token)
            .ok()
            .and_then(|plain| serde_json::from_slice(&plain).ok())
            .map(Some)
            .ok_or_else(|| {
                Refusal::new(
                    Reason::InvalidPageToken,
                    "The page token isn't one of this list with these parameters. Start again without it, and keep filter, order and parent the same from page to page.",
                )
            })
    }
}

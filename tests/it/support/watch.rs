//! A stream over REST, read line by line.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tenantry_testkit::rest::Rest;

/// Longest wait for one line; a bookmark comes four times a second.
const LINE_WITHIN: Duration = Duration::from_secs(10);

pub struct Watch {
    response: reqwest::Response,
    buffer: Vec<u8>,
    /// Token of the last item.
    pub token: String,
}

impl Watch {
    /// Opens `/api/v1/tenants:watch`, behind a token where one is given.
    pub async fn open(rest: &Rest, token: &str) -> Result<Self> {
        let path = if token.is_empty() {
            "/api/v1/tenants:watch".to_owned()
        } else {
            format!("/api/v1/tenants:watch?resume_token={token}")
        };
        let mut watch = Self::at(rest, &path).await?;
        token.clone_into(&mut watch.token);
        Ok(watch)
    }

    /// Opens the stream at a path.
    pub async fn at(rest: &Rest, path: &str) -> Result<Self> {
        let response = rest.stream(path).await?;
        if !response.status().is_success() {
            bail!(
                "the stream is refused: {} {}",
                response.status(),
                response.text().await?
            );
        }
        Ok(Self {
            response,
            buffer: Vec::new(),
            token: String::new(),
        })
    }

    /// The next item; `None` at the end of the stream.
    pub async fn next(&mut self) -> Result<Option<Value>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let item: Value = serde_json::from_slice(&line)?;
                if let Some(token) = item["resume_token"]
                    .as_str()
                    .filter(|token| !token.is_empty())
                {
                    token.clone_into(&mut self.token);
                }
                return Ok(Some(item));
            }
            let chunk = tokio::time::timeout(LINE_WITHIN, self.response.chunk())
                .await
                .context("the watch is silent")??;
            match chunk {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }

    /// Reads on until an item that `wanted` accepts.
    pub async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        while let Some(item) = self.next().await? {
            if wanted(&item) {
                return Ok(item);
            }
        }
        bail!("the watch ended before")
    }
}

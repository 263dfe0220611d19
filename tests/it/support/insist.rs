//! Requests that are sent until they are answered, whatever is being killed meanwhile.

use std::time::Duration;

use anyhow::{Result, bail};
use reqwest::Method;
use serde_json::Value;
use tenantry_testkit::rest::{Answer, Rest};
use tenantry_testkit::wait::until;

/// Longest wait for an answer, processes that start again included.
const ANSWERED_WITHIN: Duration = Duration::from_secs(120);

/// Sends a change until it is answered with 200: the same request id each time, so that it happens once.
pub async fn insist(rest: &Rest, method: Method, path: &str, body: &Value) -> Result<Value> {
    Ok(insist_on(&[200], rest, method, path, body).await?.json())
}

/// Sends a change until it is answered with one of these statuses.
pub async fn insist_on(
    statuses: &[u16],
    rest: &Rest,
    method: Method,
    path: &str,
    body: &Value,
) -> Result<Answer> {
    until("answer", ANSWERED_WITHIN, async || {
        let sent = rest.send(method.clone(), path, Some(body.to_string()));
        match sent.await {
            Ok(answer) if statuses.contains(&answer.status) => Ok(Some(answer)),
            // While identity is being killed the gateway refuses what it can't check.
            Ok(answer) if answer.status >= 500 || answer.status == 429 => Ok(None),
            Ok(answer) => bail!("{path} {body}: {} {}", answer.status, answer.text),
            Err(_gone) => Ok(None),
        }
    })
    .await
}

//! What the gateway itself refuses, before any service: each has a reason of its own and says what to do.

use anyhow::{Context as _, Result};
use reqwest::Method;
use serde_json::json;
use tenantry_core::Reason;
use tenantry_testkit::paths;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::dynamic::{gateway_channel, native};
use crate::support::fleet;
use crate::support::world::Party;

const TENANTS: &str = "/api/v1/tenants";
const MIB: usize = 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refusal_of_the_gateways_own_has_a_true_reason() -> Result<()> {
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    let own = a.rest(fleet)?;
    let large = json!({"name": "x".repeat(5 * MIB)}).to_string();
    let long = own.clone().header("x-note", &"x".repeat(40 * 1024));
    let mut many = own.clone();
    for n in 0..120 {
        many = many.header(&format!("x-note-{n}"), "x");
    }
    for (what, rest, method, path, body, (status, reason)) in [
        (
            "no such path",
            &own,
            Method::GET,
            "/api/v1/tenant-list",
            None,
            (404, "UNKNOWN_PATH"),
        ),
        (
            "outside the API",
            &own,
            Method::GET,
            "/index.html",
            None,
            (404, "UNKNOWN_PATH"),
        ),
        (
            "another method",
            &own,
            Method::DELETE,
            TENANTS,
            None,
            (404, "UNKNOWN_PATH"),
        ),
        (
            "no JSON",
            &own,
            Method::POST,
            TENANTS,
            Some("{".to_owned()),
            (400, "INVALID_ARGUMENT"),
        ),
        (
            "too large",
            &own,
            Method::POST,
            TENANTS,
            Some(large),
            (413, "BODY_TOO_LARGE"),
        ),
        (
            "a long header",
            &long,
            Method::GET,
            TENANTS,
            None,
            (431, "HEADERS_TOO_LARGE"),
        ),
        (
            "many headers",
            &many,
            Method::GET,
            TENANTS,
            None,
            (431, "HEADERS_TOO_LARGE"),
        ),
        (
            "no credential",
            &fleet.rest()?,
            Method::GET,
            TENANTS,
            None,
            (401, "UNAUTHENTICATED"),
        ),
    ] {
        let answer = rest.send(method, path, body).await?;
        let told = (answer.status, answer.reason());
        assert_eq!(told, (status, reason.to_owned()), "{what}: {}", answer.text);
        let message = answer.json()["message"].to_string();
        assert!(message.len() > 30, "{what}: {message}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_too_large_is_called_so_natively_too() -> Result<()> {
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    let large = json!({"name": "x".repeat(5 * MIB)});
    let create = "/tenantry.registry.v1.TenantService/CreateTenant";
    let channel = gateway_channel(fleet).await?;
    let answer = native(&channel, create, &large, &[("x-api-key", &a.key)]).await?;
    let refusal = tenantry_rpc::status::refusal(&answer.status).context("our words")?;
    assert_eq!(refusal.reason, Reason::BodyTooLarge, "{:?}", answer.status);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_protocol_of_before_is_refused_in_our_words() -> Result<()> {
    let fleet = fleet().await?;
    let mut old = TcpStream::connect(fleet.gateway_address()).await?;
    old.write_all(b"GET /api/v1/tenants HTTP/1.0\r\n\r\n")
        .await?;
    let mut answer = String::new();
    old.read_to_string(&mut answer).await?;
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
    assert!(answer.contains("INVALID_ARGUMENT"), "{answer}");
    Ok(())
}

/// The text between two others.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    Some(text.split_once(before)?.1.split_once(after)?.0)
}

#[test]
fn the_code_of_each_refusal_is_that_of_its_reason() -> Result<()> {
    let template = paths::repository().join("deploy/envoy/envoy.yaml");
    let template = std::fs::read_to_string(template)?;
    let mappers = template
        .split("json_format:\n                  code: ")
        .skip(1);
    let mut seen = 0;
    for mapper in mappers {
        let (code, rest) = mapper.split_once('\n').context("a code")?;
        let word = between(rest, "reason: ", ",").context("a reason")?;
        let mut reasons = Reason::ALL.iter();
        let reason = reasons.find(|reason| reason.word() == word);
        let reason = reason.with_context(|| format!("{word} is no reason"))?;
        let own = tenantry_rpc::status::code(reason.kind());
        assert_eq!(code, i32::from(own).to_string(), "{word}");
        seen += 1;
    }
    assert!(seen > 10, "{seen} mappers were read");
    Ok(())
}

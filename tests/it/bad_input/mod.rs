//! Bad input gets a clear refusal: google.rpc.Status as JSON, an ErrorInfo reason, a sentence that says what to do; never
//! a 5xx, never what a driver said, and never a fallen gateway.

mod identity;
mod quota;
mod registry;
mod usage;

use anyhow::Result;
use reqwest::Method;
use serde_json::json;
use tenantry_testkit::rest::{Answer, Rest};

use crate::support::dynamic::gateway_methods;
use crate::support::fleet;
use crate::support::raw::{Raw, RawCodec};
use crate::support::world::Party;

/// A request that is refused, and the reason.
type Wrong = ((Method, String, Option<serde_json::Value>), &'static str);

const INVALID: &str = "INVALID_ARGUMENT";

/// What no answer may contain.
const LEAKS: &[&str] = &[
    "sqlx",
    "postgres",
    "relation \"",
    "constraint",
    "panicked",
    "tonic",
    "rust",
    "SELECT ",
];

fn check(what: &str, answer: &Answer) {
    assert!(
        (400..500).contains(&answer.status),
        "{what}: {} {}",
        answer.status,
        answer.text
    );
    let json = answer.json();
    assert!(
        json["code"].as_i64().is_some(),
        "{what}: no google.rpc.Status: {}",
        answer.text
    );
    let message = json["message"].as_str().unwrap_or_default();
    assert!(
        message.len() > 15,
        "{what}: the message says too little: {}",
        answer.text
    );
    assert!(
        !answer.reason().is_empty(),
        "{what}: no reason: {}",
        answer.text
    );
    for leak in LEAKS {
        assert!(
            !answer.text.contains(leak),
            "{what} leaks {leak:?}: {}",
            answer.text
        );
    }
}

/// A binding's path with a value for each field.
fn path(template: &str, party: &Party) -> String {
    template
        .replace("{tenant}", &party.id)
        .replace("{user}", &party.member)
        .replace("{api_key}", &party.key_id)
        .replace("{invitation}", &party.member)
        .replace("{token}", "ti_token")
        .replace("{role}", "viewer")
        .replace("{hold}", "01900000-0000-7000-8000-000000000001")
        .replace("{plan}", "free")
        .replace("{project}", "default")
        .replace("{session}", &party.member)
        .replace("{tenant_import}", &party.member)
        .replace("{identity_provider}", &party.key_id)
        .replace("{resource_type}", "users")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_path_refuses_malformed_bodies_and_unknown_parameters() -> Result<()> {
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    let owner = a.rest(fleet)?;
    let large = json!({"name": "x".repeat(5 * 1024 * 1024)}).to_string();
    let mut tried = 0;
    for method in gateway_methods() {
        for binding in method.bindings {
            let verb: Method = binding.method.parse()?;
            let path = path(binding.template, &a);
            let what = format!("{verb} {path}");
            let unknown = owner
                .send(verb.clone(), &format!("{path}?no_such_parameter=1"), None)
                .await?;
            check(&format!("{what}: unknown parameter"), &unknown);
            tried += 1;
            if binding.body == "*" {
                for (kind, body) in [
                    ("malformed", "{\"name\": ".to_owned()),
                    ("not an object", "[1, 2]".to_owned()),
                    ("wrong type", "{\"name\": {\"a\": 1}, \"email\": [1], \"tenant\": 7, \"etag\": {}, \"request_id\": {}}".to_owned()),
                    ("oversize", large.clone()),
                ] {
                    // A message without a field can't have one of a wrong type.
                    if kind == "wrong type" && method.name == "Logout" {
                        continue;
                    }
                    let answer = owner.send(verb.clone(), &path, Some(body)).await?;
                    check(&format!("{what}: {kind}"), &answer);
                    if kind == "oversize" {
                        assert_eq!(answer.reason(), "BODY_TOO_LARGE", "{what}: {}", answer.text);
                    }
                    tried += 1;
                }
            }
        }
    }
    println!("{tried} bad requests refused");
    assert_eq!(
        owner.get("/api/v1/tenants/current").await?.status,
        200,
        "the gateway stands"
    );
    Ok(())
}

async fn refused(
    rest: &Rest,
    method: Method,
    path: &str,
    body: Option<serde_json::Value>,
    reason: &str,
) -> Result<()> {
    let what = format!("{method} {path} {body:?}");
    let answer = rest
        .send(method, path, body.map(|body| body.to_string()))
        .await?;
    check(&what, &answer);
    assert_eq!(answer.reason(), reason, "{what}: {}", answer.text);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_wrong_value_is_refused_with_its_reason() -> Result<()> {
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    let person = a.rest(fleet)?;
    let operator = fleet.operator_rest()?;
    let absent = tenantry_core::TenantId::new().to_string();
    let wrong = [
        registry::wrong_values(&a, &absent),
        identity::wrong_values(&a, &absent),
        quota::wrong_values(&a, &absent),
        usage::wrong_values(&a, &absent),
    ];
    for ((method, path, body), reason) in wrong.concat() {
        // Sessions, passwords and sign-ups are people's; the operator here is a program.
        let persons = path.starts_with("/api/v1/auth/") || path == "/api/v1/organizations";
        let caller = if persons { &person } else { &operator };
        refused(caller, method, &path, body, reason).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn free_json_comes_back_through_the_gateway_as_it_went() -> Result<()> {
    let fleet = fleet().await?;
    let metadata = json!({"a": "", "b": null, "c": false, "d": 0, "e": {}, "f": [], "g": [{"h": ""}, 0, null]});
    let body = json!({"name": "Zero values", "metadata": metadata, "labels": [{"key": "a", "value": "b"}]});
    let made = fleet
        .operator_rest()?
        .post("/api/v1/tenants", body)
        .await?
        .ok()?;
    assert_eq!(
        made["metadata"], metadata,
        "defaults in values survive Envoy's transcoding"
    );
    let again = fleet
        .operator_rest()?
        .get(&format!("/api/v1/tenants/{}", made["id"].as_str().unwrap()))
        .await?
        .ok()?;
    assert_eq!(again["metadata"], metadata);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_transport_refuses_is_told_like_any_refusal() -> Result<()> {
    let fleet = fleet().await?;
    let operator = fleet.operator_rest()?;
    for depth in [17, 34, 60] {
        let metadata = (0..depth).fold(json!({}), |inner, _| json!({ "a": inner }));
        let body = json!({"name": "Deep", "metadata": metadata});
        let answer = operator.post("/api/v1/tenants", body).await?;
        check(&format!("{depth} levels"), &answer);
    }
    // Garbage and unknown methods, natively.
    let channel = crate::support::dynamic::gateway_channel(fleet).await?;
    for (path, code, reason) in [
        (
            "/tenantry.registry.v1.TenantService/GetTenant",
            tonic::Code::InvalidArgument,
            "INVALID_ARGUMENT",
        ),
        (
            "/tenantry.registry.v1.TenantService/NoSuchMethod",
            tonic::Code::Unimplemented,
            "UNKNOWN_METHOD",
        ),
    ] {
        let mut grpc = tonic::client::Grpc::new(channel.clone());
        grpc.ready().await?;
        let mut request = tonic::Request::new(Raw(vec![0x0a, 0xff, 0xff]));
        request
            .metadata_mut()
            .insert("x-api-key", fleet.operator().token.parse()?);
        let answer = grpc.unary(request, path.parse()?, RawCodec).await;
        let status = answer.map(|_| ()).unwrap_err();
        let details = tonic_types::StatusExt::get_error_details(&status);
        assert_eq!(
            (
                status.code(),
                details.error_info().map(|info| info.reason.as_str())
            ),
            (code, Some(reason)),
            "{path}: {status:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_must_come_once_is_refused_twice() -> Result<()> {
    let fleet = fleet().await?;
    let (a, b) = tokio::try_join!(Party::create(fleet), Party::create(fleet))?;
    let operator = fleet.operator_rest()?;
    let twice = operator
        .clone()
        .header("idempotency-key", "one")
        .header("idempotency-key", "other");
    check(
        "two keys",
        &twice
            .post("/api/v1/tenants", json!({"name": "Twice"}))
            .await?,
    );
    let conflict = operator
        .header("x-tenant-id", &a.id)
        .header("x-tenant-slug", &b.slug);
    let answer = conflict
        .post("/api/v1/tenants", json!({"name": "Conflict"}))
        .await?;
    assert_eq!(
        (answer.status, answer.reason().as_str()),
        (400, "TENANT_CONFLICT"),
        "{}",
        answer.text
    );
    Ok(())
}

//! What the gateway itself serves: documents, health, browsers, and native clients.

use std::time::Duration;

use anyhow::Result;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use reqwest::Method;
use serde_json::json;
use tenantry_core::Reason;
use tenantry_testkit::rest::Rest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::dynamic::{gateway_channel, native};
use crate::support::fleet;
use crate::support::raw::{Raw, RawCodec};
use crate::support::world::Party;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_health_and_keys_answer_without_a_credential() -> Result<()> {
    let fleet = fleet().await?;
    let rest = fleet.rest()?;
    let openapi = rest.get("/api/v1/openapi.json").await?;
    assert_eq!(
        (openapi.status, openapi.header("content-type")),
        (200, "application/json")
    );
    assert!(openapi.json()["paths"]["/api/v1/tenants"].is_object());
    let docs = rest.get("/docs").await?;
    assert!(
        docs.status == 200 && docs.header("content-type").starts_with("text/html"),
        "{}",
        docs.text
    );
    let assets: Vec<&str> = docs
        .text
        .split('"')
        .filter(|word| word.ends_with(".js") || word.ends_with(".css"))
        .collect();
    assert!(!assets.is_empty());
    for asset in assets {
        assert!(!asset.contains("//"), "{asset} comes from elsewhere");
        let path = if asset.starts_with('/') {
            asset.to_owned()
        } else {
            format!("/docs/{asset}")
        };
        assert_eq!(rest.get(&path).await?.status, 200, "{path}");
    }
    assert_eq!(rest.get("/healthz").await?.status, 200);
    let ready = rest.get("/readyz").await?.ok()?;
    assert_eq!(ready["status"], "ready");
    let names: Vec<_> = ready["services"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["name"].as_str().unwrap())
        .collect();
    assert!(
        ["audit", "identity", "quota", "registry"] == names[..],
        "{ready}"
    );
    let jwks = rest.get("/.well-known/jwks.json").await?.ok()?;
    assert_eq!(
        (
            jwks["keys"][0]["kty"].as_str(),
            jwks["keys"][0]["crv"].as_str()
        ),
        (Some("OKP"), Some("Ed25519"))
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_carries_the_security_headers() -> Result<()> {
    let fleet = fleet().await?;
    for (rest, path) in [
        (fleet.operator_rest()?, "/api/v1/tenants"),
        (fleet.rest()?, "/api/v1/tenants"),
        (fleet.rest()?, "/docs"),
        (fleet.rest()?, "/no-such-path"),
    ] {
        let answer = rest.get(path).await?;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(
                answer.header(name),
                value,
                "{path} {}: {name}",
                answer.status
            );
        }
        assert!(
            answer
                .header("strict-transport-security")
                .contains("max-age"),
            "{path}"
        );
        assert!(!answer.header("x-request-id").is_empty(), "{path}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preflight_of_a_listed_origin_passes_and_of_another_doesn_t() -> Result<()> {
    let fleet = fleet().await?;
    let preflight = |origin: &str| {
        let rest = fleet.rest();
        let origin = origin.to_owned();
        async move {
            rest?
                .header("origin", &origin)
                .header("access-control-request-method", "POST")
                .header(
                    "access-control-request-headers",
                    "authorization,content-type",
                )
                .send(Method::OPTIONS, "/api/v1/tenants", None)
                .await
        }
    };
    let listed = preflight("http://localhost:3000").await?;
    assert!((200..300).contains(&listed.status), "{}", listed.text);
    assert_eq!(
        listed.header("access-control-allow-origin"),
        "http://localhost:3000"
    );
    assert!(
        listed
            .header("access-control-allow-headers")
            .contains("authorization")
    );
    let other = preflight("https://evil.example").await?;
    assert_eq!(other.header("access-control-allow-origin"), "");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_web_passes_through() -> Result<()> {
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    // One empty message: no flags, length 0.
    let rest = fleet
        .rest()?
        .bearer(&a.token)
        .header("content-type", "application/grpc-web-text")
        .header("accept", "application/grpc-web-text")
        .header("x-grpc-web", "1");
    let answer = rest
        .send(
            Method::POST,
            "/tenantry.registry.v1.TenantService/GetTenant",
            Some("AAAAAAA=".to_owned()),
        )
        .await?;
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .header("content-type")
            .starts_with("application/grpc-web-text"),
        "{:?}",
        answer.headers
    );
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::STANDARD;
    // The body is padded base64 piece by piece.
    let decoded: Vec<u8> = answer
        .text
        .as_bytes()
        .chunks(4)
        .flat_map(|four| engine.decode(four).unwrap_or_default())
        .collect();
    let text = String::from_utf8_lossy(&decoded);
    assert!(
        text.contains(&a.id) && text.contains("grpc-status:0"),
        "{text}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reflection_is_for_operators_and_shows_the_public_contracts() -> Result<()> {
    use tonic::codegen::http::uri::PathAndQuery;
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    let list = async |credential: Option<(&str, &str)>| {
        let channel = gateway_channel(fleet).await?;
        let mut grpc = tonic::client::Grpc::new(channel);
        grpc.ready().await?;
        // ServerReflectionRequest{list_services: "*"} by hand: field 7, length 1.
        let mut request = tonic::Request::new(futures::stream::iter([Raw(vec![0x3a, 1, b'*'])]));
        if let Some((name, value)) = credential {
            let name: tonic::metadata::MetadataKey<tonic::metadata::Ascii> = name.parse()?;
            request.metadata_mut().insert(name, value.parse()?);
        }
        let path =
            PathAndQuery::from_static("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo");
        let answer = match grpc.streaming(request, path, RawCodec).await {
            Ok(stream) => {
                let mut stream = stream.into_inner();
                stream.message().await
            }
            Err(status) => Err(status),
        };
        anyhow::Ok(answer.map(|raw| {
            String::from_utf8_lossy(&raw.map(|raw| raw.0).unwrap_or_default()).into_owned()
        }))
    };
    let shown = list(Some(("x-api-key", &fleet.operator().token))).await??;
    assert!(
        shown.contains("tenantry.registry.v1.TenantService"),
        "{shown}"
    );
    assert!(
        !shown.contains("internal") && !shown.contains("envoy"),
        "{shown}"
    );
    assert!(
        list(Some(("x-api-key", &a.key))).await?.is_err(),
        "a tenant's key"
    );
    assert!(list(None).await?.is_err(), "nobody");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn internal_services_have_no_route() -> Result<()> {
    let fleet = fleet().await?;
    let channel = gateway_channel(fleet).await?;
    let operator = [("x-api-key", fleet.operator().token.as_str())];
    for method in tenantry_proto::methods::all()
        .iter()
        .filter(|method| method.internal)
    {
        let answer = native(&channel, method.path, &json!({}), &operator).await?;
        assert!(!answer.is_ok(), "{}", method.path);
    }
    let rest: Rest = fleet.operator_rest()?;
    for path in [
        "/envoy.service.auth.v3.Authorization/Check",
        "/grpc.health.v1.Health/Check",
    ] {
        let answer = rest.post(path, json!({})).await?;
        assert!(
            (400..500).contains(&answer.status),
            "{path}: {}",
            answer.status
        );
    }
    Ok(())
}

/// Native requests whose end never comes: more than two replicas have places for one network, and fewer than one connection
/// may have streams.
const WITHOUT_END: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn native_sign_ins_whose_end_never_comes_hold_no_place_of_those_that_are_whole() -> Result<()>
{
    use tonic::codegen::http::uri::PathAndQuery;
    const LOGIN: &str = "/tenantry.identity.v1.AuthService/Login";
    let fleet = fleet().await?;
    let channel = gateway_channel(fleet).await?;
    let mut without_end = FuturesUnordered::new();
    for _ in 0..WITHOUT_END {
        let mut grpc = tonic::client::Grpc::new(channel.clone());
        without_end.push(async move {
            grpc.ready().await?;
            let request = tonic::Request::new(futures::stream::pending::<Raw>());
            let path = PathAndQuery::from_static(LOGIN);
            anyhow::Ok(grpc.client_streaming(request, path, RawCodec).await?)
        });
    }
    // On the same connection, so that it comes behind all of them.
    let whole = async {
        let unknown = json!({"email": "nobody@example.com", "password": "not the password"});
        native(&channel, LOGIN, &unknown, &[]).await
    };
    tokio::select! {
        biased;
        ended = without_end.next() => panic!("{:?}", ended.map(|ended| ended.map(drop))),
        answer = whole => {
            let refusal = tenantry_rpc::status::refusal(&answer?.status);
            assert_eq!(refusal.map(|refusal| refusal.reason), Some(Reason::BadCredentials));
        }
    }
    Ok(())
}

/// How long a request may take to come, and what a busy machine adds.
const WHOLE_WITHIN: Duration = Duration::from_secs(45);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_comes_byte_by_byte_is_not_waited_for_without_end() -> Result<()> {
    let fleet = fleet().await?;
    let mut slow = TcpStream::connect(fleet.gateway_address()).await?;
    let head = "POST /api/v1/auth/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{";
    slow.write_all(head.as_bytes()).await?;
    let (mut answers, mut asks) = slow.into_split();
    let drip = tokio::spawn(async move {
        // More often than what is idle is ended, until the other side has had enough.
        while asks.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    });
    let mut answer = Vec::new();
    let told = async {
        // What came counts, also where the connection is cut behind it.
        while answers
            .read_buf(&mut answer)
            .await
            .is_ok_and(|read| read > 0)
        {}
    };
    tokio::time::timeout(WHOLE_WITHIN, told).await?;
    let answer = String::from_utf8(answer)?;
    drip.abort();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("DEADLINE_EXCEEDED"), "{answer}");
    Ok(())
}

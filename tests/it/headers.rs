//! Header attacks through the real Envoy, over HTTP/1.1 and HTTP/2: all refused or ignored, none effective.

use anyhow::Result;
use serde_json::{Value, json};
use tenantry_core::{Permission, Permissions, PrincipalKind};
use tenantry_rpc::assertion::{Claims, FLEET, GATEWAY, sign};
use tenantry_rpc::keys::KeyRing;
use tenantry_testkit::fleet::Fleet;
use tenantry_testkit::keys::GatewayWord;
use tenantry_testkit::rest::Rest;

use crate::support::fleet;
use crate::support::world::Party;

fn both(fleet: &Fleet) -> Result<[(&'static str, Rest); 2]> {
    Ok([
        ("HTTP/1.1", Rest::new(fleet.gateway())?),
        ("HTTP/2", Rest::http2(fleet.gateway())?),
    ])
}

async fn tenant_of(rest: &Rest) -> Result<String> {
    let me = rest.get("/api/v1/auth/me").await?.ok()?;
    Ok(me["tenant_id"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identity_headers_of_a_client_have_no_effect() -> Result<()> {
    let fleet = fleet().await?;
    let (a, b) = tokio::try_join!(Party::create(fleet), Party::create(fleet))?;
    let forged = assertion_of(fleet, &b, true)?;
    for (protocol, client) in both(fleet)? {
        let client = client.bearer(&a.token);
        for (name, value) in [
            ("x-tenantry-assertion", forged.as_str()),
            ("X-Tenantry-Assertion", forged.as_str()),
            (
                "x-envoy-original-path",
                &format!("/api/v1/tenants/{}", b.id),
            ),
            ("x-envoy-original-method", "GET"),
        ] {
            if protocol == "HTTP/2" && name.starts_with('X') {
                continue;
            }
            let rest = client.clone().header(name, value);
            assert_eq!(tenant_of(&rest).await?, a.id, "{protocol} {name}");
        }
        // Without a credential a forged or even a genuine assertion opens nothing.
        let rest = Rest::new(fleet.gateway())?.header("x-tenantry-assertion", &forged);
        assert_eq!(rest.get("/api/v1/auth/me").await?.status, 401, "{protocol}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_a_header_or_one_with_underscores_are_refused() -> Result<()> {
    let fleet = fleet().await?;
    let (a, b) = tokio::try_join!(Party::create(fleet), Party::create(fleet))?;
    for (protocol, client) in both(fleet)? {
        let own = client.clone().bearer(&a.token);
        for (what, rest) in [
            (
                "two keys",
                client
                    .clone()
                    .header("x-api-key", &a.key)
                    .header("x-api-key", &b.key),
            ),
            (
                "two bearers",
                own.clone()
                    .header("authorization", &format!("Bearer {}", b.token)),
            ),
            (
                "a bearer and another's key",
                own.clone().header("x-api-key", &b.key),
            ),
            (
                "two tenant ids",
                own.clone()
                    .header("x-tenant-id", &a.id)
                    .header("x-tenant-id", &b.id),
            ),
            (
                "two projects",
                own.clone()
                    .header("x-project", "one")
                    .header("x-project", "two"),
            ),
            (
                "id and slug of two tenants",
                own.clone()
                    .header("x-tenant-id", &a.id)
                    .header("x-tenant-slug", &b.slug),
            ),
            ("underscores", own.clone().header("x_tenant_id", &b.id)),
            (
                "underscores in the assertion",
                own.clone().header("x_tenantry_assertion", "x"),
            ),
        ] {
            let status = match rest.get("/api/v1/auth/me").await {
                Ok(answer) => answer.status,
                // Over HTTP/2 Envoy resets the stream of a header with underscores.
                Err(_) if what.starts_with("underscores") => 400,
                Err(error) => return Err(error),
            };
            assert!((400..500).contains(&status), "{protocol}, {what}: {status}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tenants_in_one_request_are_a_conflict_before_either_is_looked_up() -> Result<()> {
    let fleet = fleet().await?;
    let (a, b) = tokio::try_join!(Party::create(fleet), Party::create(fleet))?;
    let absent = tenantry_core::TenantId::new().to_string();
    for (protocol, client) in both(fleet)? {
        let mut bodies = Vec::new();
        for other in [b.id.as_str(), a.child.as_str(), &absent] {
            let rest = client.clone().bearer(&a.token).header("x-tenant-id", other);
            let answer = rest.get(&format!("/api/v1/tenants/{}", a.id)).await?;
            assert_eq!(
                (answer.status, answer.reason().as_str()),
                (400, "TENANT_CONFLICT"),
                "{protocol}"
            );
            bodies.push(answer.text);
        }
        bodies.dedup();
        assert_eq!(
            bodies.len(),
            1,
            "{protocol}: the answers tell the tenants apart"
        );
        // The same tenant twice is no conflict.
        let rest = client
            .bearer(&a.token)
            .header("x-tenant-id", &a.id)
            .header("x-tenant-slug", &a.slug);
        assert_eq!(
            rest.get(&format!("/api/v1/tenants/{}", a.slug))
                .await?
                .status,
            200,
            "{protocol}"
        );
    }
    Ok(())
}

/// What identity would say of someone who may do anything, by the fleet's own key.
pub fn operator_assertion(fleet: &Fleet) -> Result<String> {
    let ring = std::fs::read_to_string(fleet.keys().assertion_ring())?;
    let ring = KeyRing::parse(&ring).map_err(anyhow::Error::msg)?;
    let claims = Claims {
        iss: GATEWAY.to_owned(),
        aud: FLEET.to_owned(),
        kind: PrincipalKind::User,
        sub: uuid::Uuid::now_v7(),
        no_tenant: "none".to_owned(),
        perms: Permissions::of(Permission::ALL),
        ..Claims::of_service("", "")
    };
    Ok(sign(&ring, &claims)?)
}

/// An assertion that B's owner acts in B, by the fleet's own key or another.
fn assertion_of(fleet: &Fleet, party: &Party, genuine: bool) -> Result<String> {
    let now = tenantry_core::clock::now().as_second();
    let claims = Claims {
        iss: "gateway".to_owned(),
        aud: "tenantry-fleet".to_owned(),
        iat: now,
        exp: now + 60,
        kind: PrincipalKind::User,
        sub: party.owner.parse()?,
        name: party.owner_email.clone(),
        tenant: Some(party.id.parse()?),
        home: Some(party.id.parse()?),
        slug: party.slug.clone(),
        no_tenant: String::new(),
        project: String::new(),
        perms: tenantry_core::Permissions::of(tenantry_core::Permission::ALL),
        below: tenantry_core::Permissions::NONE,
        credential_exp: None,
        credential: claims_of(&party.token)?["sid"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        on_behalf_of: None,
    };
    let text = if genuine {
        std::fs::read_to_string(fleet.keys().assertion_ring())?
    } else {
        KeyRing::generate("gateway")
    };
    let ring = KeyRing::parse(&text).map_err(anyhow::Error::msg)?;
    Ok(sign(&ring, &claims)?)
}

/// An access token with these claims, by the fleet's token key or another.
fn access_token(fleet: &Fleet, genuine_key: bool, typ: &str, claims: &Value) -> Result<String> {
    let text = std::fs::read_to_string(fleet.keys().token_ring())?;
    let genuine = KeyRing::parse(&text).map_err(anyhow::Error::msg)?;
    let foreign =
        KeyRing::parse(&KeyRing::generate(genuine.signing_kid())).map_err(anyhow::Error::msg)?;
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::EdDSA);
    header.typ = Some(typ.to_owned());
    header.kid = Some(genuine.signing_kid().to_owned());
    let ring = if genuine_key { &genuine } else { &foreign };
    Ok(jsonwebtoken::encode(&header, claims, ring.signing_key())?)
}

/// The claims of a real access token, to change one of.
fn claims_of(token: &str) -> Result<Value> {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).unwrap_or_default();
    Ok(serde_json::from_slice(
        &base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload)?,
    )?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_are_expired_for_others_or_by_others_are_refused() -> Result<()> {
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    let real = claims_of(&a.token)?;
    let typ = {
        let header = jsonwebtoken::decode_header(&a.token)?;
        header.typ.unwrap_or_default()
    };
    let with = |name: &str, value: Value| {
        let mut claims = real.clone();
        claims[name] = value;
        claims
    };
    let mut none = serde_json::to_vec(&json!({"alg": "none", "typ": typ}))?;
    let unsigned = {
        use base64::Engine as _;
        let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let head = engine.encode(std::mem::take(&mut none));
        format!("{head}.{}.", a.token.split('.').nth(1).unwrap_or_default())
    };
    let control = access_token(fleet, true, &typ, &real)?;
    let attacks = [
        (
            "expired",
            access_token(fleet, true, &typ, &with("exp", json!(1_000_000_000)))?,
        ),
        (
            "wrong audience",
            access_token(fleet, true, &typ, &with("aud", json!("someone-else")))?,
        ),
        (
            "wrong issuer",
            access_token(
                fleet,
                true,
                &typ,
                &with("iss", json!("https://elsewhere.example")),
            )?,
        ),
        ("foreign key", access_token(fleet, false, &typ, &real)?),
        ("another type", access_token(fleet, true, "JWT", &real)?),
        ("an assertion", assertion_of(fleet, &a, true)?),
        (
            "a session that never was",
            access_token(
                fleet,
                true,
                &typ,
                &with("sid", json!(tenantry_core::SessionId::new())),
            )?,
        ),
        ("unsigned", unsigned),
        ("nonsense", "a.b.c".to_owned()),
    ];
    for (protocol, client) in both(fleet)? {
        assert_eq!(
            client
                .clone()
                .bearer(&control)
                .get("/api/v1/auth/me")
                .await?
                .status,
            200,
            "{protocol}: the control"
        );
        for (what, token) in &attacks {
            let answer = client.clone().bearer(token).get("/api/v1/auth/me").await?;
            assert_eq!(answer.status, 401, "{protocol}, {what}: {}", answer.text);
            assert!(
                !answer.reason().is_empty(),
                "{protocol}, {what}: {}",
                answer.text
            );
        }
    }
    // Straight to a service an access token is no assertion, and a foreign assertion none either.
    for service in fleet.services() {
        let channel = crate::support::dynamic::channel(service.address()).await?;
        let (path, body) = match service.name() {
            "registry" => ("/tenantry.registry.v1.TenantService/GetTenant", json!({})),
            "identity" => ("/tenantry.identity.v1.AuthService/GetCaller", json!({})),
            "audit" => (
                "/tenantry.audit.v1.AuditEventService/ListEvents",
                json!({"tenant": a.id}),
            ),
            "quota" => (
                "/tenantry.quota.v1.LimitService/ListQuotas",
                json!({"tenant": a.id}),
            ),
            other => panic!("which method of {other} may each owner call?"),
        };
        let word = fleet.keys().gateway_word();
        let word = word.value().to_str()?;
        let call = async |token: &str, word: &str| {
            let headers = [("x-tenantry-assertion", token), (GatewayWord::HEADER, word)];
            crate::support::dynamic::native(&channel, path, &body, &headers).await
        };
        let genuine = assertion_of(fleet, &a, true)?;
        for (token, word) in [
            (&assertion_of(fleet, &a, false)?, word),
            (&a.token, word),
            // A genuine one that was captured, from someone who isn't the gateway.
            (&genuine, ""),
            (&genuine, "a guess"),
        ] {
            assert_eq!(
                call(token, word).await?.status.code(),
                tonic::Code::Unauthenticated
            );
        }
        assert!(
            call(&genuine, word).await?.is_ok(),
            "the control at {}",
            service.name()
        );
    }
    Ok(())
}

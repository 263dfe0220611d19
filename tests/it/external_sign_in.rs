//! A real OpenID provider signs people in through the gateway, and rotates its keys.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tenantry_testkit::fleet::Fleet;
use tenantry_testkit::oidc_provider::OidcProvider;
use tenantry_testkit::rest::{Answer, Rest};

use crate::support::fleet;
use crate::support::world::{Party, text};

const PAGE: &str = "http://localhost:3000/signed-in";

/// What a user interface does: begin, send the browser to the provider, and send on what comes back.
async fn sign_in(fleet: &Fleet, at: &OidcProvider, start: &Value, subject: &str) -> Result<Answer> {
    let rest = fleet.rest()?;
    let begun = rest
        .post("/api/v1/auth/external:start", start.clone())
        .await?
        .ok()?;
    let back = at
        .sign_in(&text(&begun, "authorization_url"), subject)
        .await?;
    let finish =
        json!({"state": back.state, "code": back.code, "holder_secret": begun["holder_secret"]});
    rest.post("/api/v1/auth/external:finish", finish).await
}

async fn signed_in(fleet: &Fleet, at: &OidcProvider, start: &Value, subject: &str) -> Result<Rest> {
    let pair = sign_in(fleet, at, start, subject).await?.ok()?;
    Ok(fleet.rest()?.bearer(&text(&pair, "access_token")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_provider_signs_people_in_and_the_fleet_follows_its_new_keys() -> Result<()> {
    let fleet = fleet().await?;
    let (a, b) = (Party::create(fleet).await?, Party::create(fleet).await?);
    let at = OidcProvider::start().await?;
    let provider = json!({
        "name": "Login", "issuer": at.issuer(), "client_id": "tenantry", "client_secret": "any",
        "redirect_uris": [PAGE], "just_in_time_roles": ["member"],
    });
    let path = format!("/api/v1/tenants/{}/identity-providers", a.id);
    let made = a.rest(fleet)?.post(&path, provider).await?.ok()?;
    let start = json!({"tenant": a.slug, "provider": made["id"], "redirect_uri": PAGE});
    // More often than there are replicas, so that beginnings and ends meet on each.
    let mut users = Vec::new();
    for round in 0..6 {
        if round == 3 {
            at.rotate_keys().await?;
        }
        let rest = signed_in(fleet, &at, &start, "ann").await.context(round)?;
        let me = rest.get("/api/v1/auth/me").await?.ok()?;
        assert_eq!(text(&me, "tenant_id"), a.id, "{me}");
        users.push(text(&me, "id"));
        let own = rest.get(&format!("/api/v1/tenants/{}", a.id)).await?;
        assert_eq!(own.status, 200);
        let foreign = rest.get(&format!("/api/v1/tenants/{}", b.id)).await?;
        assert_eq!(foreign.reason(), "TENANT_NOT_FOUND");
    }
    users.dedup();
    assert_eq!(
        users.len(),
        1,
        "one subject is one user, whatever its issuer's keys"
    );

    // The owner's address, said by an issuer, opens nothing of the owner's.
    at.set_user(
        "eve",
        &json!({"email": b.owner_email, "email_verified": true}),
    )
    .await?;
    let eve = signed_in(fleet, &at, &start, "eve").await?;
    let me = eve.get("/api/v1/auth/me").await?.ok()?;
    assert_ne!(text(&me, "id"), b.owner);
    let answer = eve.get(&format!("/api/v1/tenants/{}", b.id)).await?;
    assert_eq!(answer.reason(), "TENANT_NOT_FOUND");

    let disable = json!({"enabled": false});
    let one = format!("{path}/{}", text(&made, "id"));
    a.rest(fleet)?.patch(&one, disable).await?.ok()?;
    let late = fleet
        .rest()?
        .post("/api/v1/auth/external:start", start)
        .await?;
    assert_eq!(
        (late.status, late.reason().as_str()),
        (401, "EXTERNAL_SIGN_IN_FAILED")
    );
    Ok(())
}

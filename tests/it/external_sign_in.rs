//! A real OpenID provider signs people in through the gateway, and rotates its keys.

use anyhow::{Context as _, Result};
use serde_json::json;
use tenantry_testkit::oidc_provider::OidcProvider;

use crate::support::external::Provider;
use crate::support::fleet;
use crate::support::world::{Party, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_provider_signs_people_in_and_the_fleet_follows_its_new_keys() -> Result<()> {
    let fleet = fleet().await?;
    let (a, b) = (Party::create(fleet).await?, Party::create(fleet).await?);
    let at = OidcProvider::start().await?;
    let provider = Provider::create(fleet, &a, &at, "member").await?;
    // More often than there are replicas, so that beginnings and ends meet on each.
    let mut users = Vec::new();
    for round in 0..6 {
        if round == 3 {
            at.rotate_keys().await?;
        }
        let rest = provider.signed_in(fleet, &at, "ann").await.context(round)?;
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
    let eve = provider.signed_in(fleet, &at, "eve").await?;
    let me = eve.get("/api/v1/auth/me").await?.ok()?;
    assert_ne!(text(&me, "id"), b.owner);
    let answer = eve.get(&format!("/api/v1/tenants/{}", b.id)).await?;
    assert_eq!(answer.reason(), "TENANT_NOT_FOUND");

    let disable = json!({"enabled": false});
    a.rest(fleet)?.patch(&provider.path, disable).await?.ok()?;
    let late = fleet
        .rest()?
        .post("/api/v1/auth/external:start", provider.start)
        .await?;
    assert_eq!(
        (late.status, late.reason().as_str()),
        (401, "EXTERNAL_SIGN_IN_FAILED")
    );
    Ok(())
}

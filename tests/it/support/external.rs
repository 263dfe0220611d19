//! People who sign in at an OpenID provider that isn't ours, through the gateway.

use anyhow::Result;
use serde_json::{Value, json};
use tenantry_testkit::fleet::Fleet;
use tenantry_testkit::oidc_provider::OidcProvider;
use tenantry_testkit::rest::{Answer, Rest};

use super::world::{Party, text};

const PAGE: &str = "http://localhost:3000/signed-in";

/// A provider that speaks for a party's tenant, and makes members with this role there.
pub struct Provider {
    /// Path of the provider itself.
    pub path: String,
    /// What begins a sign-in.
    pub start: Value,
}

impl Provider {
    pub async fn create(
        fleet: &Fleet,
        party: &Party,
        at: &OidcProvider,
        role: &str,
    ) -> Result<Self> {
        let provider = json!({
            "name": "Login", "issuer": at.issuer(), "client_id": "tenantry", "client_secret": "any",
            "redirect_uris": [PAGE], "just_in_time_roles": [role],
        });
        let path = format!("/api/v1/tenants/{}/identity-providers", party.id);
        let made = party.rest(fleet)?.post(&path, provider).await?.ok()?;
        let id = text(&made, "id");
        Ok(Self {
            path: format!("{path}/{id}"),
            start: json!({"tenant": party.slug, "provider": id, "redirect_uri": PAGE}),
        })
    }

    /// What a user interface does: begin, send the browser to the provider, and send on what comes back.
    async fn finish(&self, fleet: &Fleet, at: &OidcProvider, subject: &str) -> Result<Answer> {
        let rest = fleet.rest()?;
        let begun = rest
            .post("/api/v1/auth/external:start", self.start.clone())
            .await?
            .ok()?;
        let back = at
            .sign_in(&text(&begun, "authorization_url"), subject)
            .await?;
        let finish = json!({"state": back.state, "code": back.code, "holder_secret": begun["holder_secret"]});
        rest.post("/api/v1/auth/external:finish", finish).await
    }

    /// An access token of the person.
    pub async fn sign_in(&self, fleet: &Fleet, at: &OidcProvider, subject: &str) -> Result<String> {
        let pair = self.finish(fleet, at, subject).await?.ok()?;
        Ok(text(&pair, "access_token"))
    }

    /// A client with that token.
    pub async fn signed_in(&self, fleet: &Fleet, at: &OidcProvider, subject: &str) -> Result<Rest> {
        let token = self.sign_in(fleet, at, subject).await?;
        Ok(fleet.rest()?.bearer(&token))
    }
}

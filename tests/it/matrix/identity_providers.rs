//! IdentityProviderService and ExternalSignInService.

use anyhow::Result;
use serde_json::{Value, json};
use tenantry_testkit::fleet::Fleet;

use super::{Attempt, Class, absent, attempt, of_list, uncontrolled};
use crate::support::unique;
use crate::support::world::{Party, text};

pub(super) const ROWS: &[(&str, Class)] = &[
    (
        "/tenantry.identity.v1.ExternalSignInService/FinishExternalSignIn",
        Class::Public,
    ),
    (
        "/tenantry.identity.v1.ExternalSignInService/StartExternalSignIn",
        Class::Public,
    ),
    (
        "/tenantry.identity.v1.IdentityProviderService/CreateIdentityProvider",
        Class::Tenant,
    ),
    (
        "/tenantry.identity.v1.IdentityProviderService/DeleteIdentityProvider",
        Class::Tenant,
    ),
    (
        "/tenantry.identity.v1.IdentityProviderService/GetIdentityProvider",
        Class::Tenant,
    ),
    (
        "/tenantry.identity.v1.IdentityProviderService/ListIdentityProviders",
        Class::Tenant,
    ),
    (
        "/tenantry.identity.v1.IdentityProviderService/UpdateIdentityProvider",
        Class::Tenant,
    ),
];

/// A new provider, of whichever tenant.
pub fn body() -> Value {
    json!({
        "name": "Login", "issuer": "https://login.example.com", "client_id": unique("client"),
        "redirect_uris": ["https://app.example.com/signed-in"],
    })
}

/// A provider of B, made for this one control.
async fn spare(fleet: &Fleet, b: &Party) -> Result<String> {
    let path = format!("/api/v1/tenants/{}/identity-providers", b.id);
    let made = b.rest(fleet)?.post(&path, body()).await?.ok()?;
    Ok(text(&made, "id"))
}

/// The same provider in B's tenant, in an absent one and in the intruder's own, which has none.
fn named(a: &Party, b: &Party, provider: &str, with: &Value) -> Vec<Attempt> {
    let body = |tenant: &str, provider: &str| {
        let mut body = json!({"tenant": tenant, "identity_provider": provider});
        for (name, value) in with.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        body
    };
    vec![
        attempt("tenant", body(&b.id, provider), body(&absent(), provider)),
        uncontrolled("provider", body(&a.id, provider), body(&a.id, &absent())),
    ]
}

/// The attempts of one RPC, where it is of this noun.
pub(super) async fn attempts(
    fleet: &Fleet,
    method: &str,
    a: &Party,
    b: &Party,
) -> Result<Option<Vec<Attempt>>> {
    Ok(Some(match method {
        "CreateIdentityProvider" => {
            let at = |tenant: &str| {
                let mut body = body();
                body["tenant"] = json!(tenant);
                body
            };
            let at_b = at(&b.id);
            let mut at_absent = at_b.clone();
            at_absent["tenant"] = json!(absent());
            vec![attempt("tenant", at_b, at_absent)]
        }
        "ListIdentityProviders" => {
            for _ in 0..2 {
                spare(fleet, b).await?;
            }
            of_list(fleet, a, b, "identity-providers").await?
        }
        "GetIdentityProvider" | "DeleteIdentityProvider" => {
            named(a, b, &spare(fleet, b).await?, &json!({}))
        }
        "UpdateIdentityProvider" => named(
            a,
            b,
            &spare(fleet, b).await?,
            &json!({"name": "Taken over"}),
        ),
        _ => return Ok(None),
    }))
}

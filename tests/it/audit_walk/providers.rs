//! OpenID providers, and signing in at one.

use anyhow::Result;
use serde_json::json;
use tenantry_testkit::oidc_provider::OidcProvider;

use super::case::{ANY, Case, Left, changed, gone, made};
use super::scene::Scene;
use crate::support::unique;
use crate::support::world::text;

pub(super) const METHODS: &[&str] = &[
    "/tenantry.identity.v1.ExternalSignInService/FinishExternalSignIn",
    "/tenantry.identity.v1.ExternalSignInService/StartExternalSignIn",
    "/tenantry.identity.v1.IdentityProviderService/CreateIdentityProvider",
    "/tenantry.identity.v1.IdentityProviderService/DeleteIdentityProvider",
    "/tenantry.identity.v1.IdentityProviderService/UpdateIdentityProvider",
];

const PAGE: &str = "http://localhost:3000/signed-in";
const START: &str = "/tenantry.identity.v1.ExternalSignInService/StartExternalSignIn";

pub(super) async fn cases(scene: &Scene<'_>, method: &str) -> Result<Vec<Case>> {
    if method.ends_with("SignIn") {
        return sign_in(scene, method).await;
    }
    let tenant = scene.tenant.clone();
    let issuer = format!("https://{}.example.com", unique("issuer"));
    let body = json!({"name": "Login", "issuer": issuer, "client_id": "tenantry", "client_secret": "hush",
        "redirect_uris": [PAGE]});
    let facts = json!({"name": "Login", "issuer": issuer, "client_id": "tenantry", "has_client_secret": true});
    let (action, request, changes) = if method.starts_with("Create") {
        let request = json!({"tenant": tenant, "name": "Login", "issuer": issuer, "clientId": "tenantry",
            "clientSecret": "hush", "redirectUris": [PAGE]});
        ("identity_provider.created", request, made(facts))
    } else {
        let path = format!("/api/v1/tenants/{tenant}/identity-providers");
        let id = text(&scene.rest.post(&path, body).await?.ok()?, "id");
        let mut request = json!({"tenant": tenant, "identityProvider": id});
        if method.starts_with("Delete") {
            ("identity_provider.deleted", request, gone(facts))
        } else {
            request["clientId"] = json!("other");
            request["enabled"] = json!(false);
            let fields = changed(&[
                ("client_id", json!("tenantry"), json!("other")),
                ("enabled", json!(true), json!(false)),
            ]);
            ("identity_provider.updated", request, fields)
        }
    };
    let (named, denied) = (text(&request, "identityProvider"), request.clone());
    let id = named.clone();
    let case = Case::new(&scene.owner, request, move |answer| {
        let provider = if id.is_empty() {
            text(answer, "id")
        } else {
            id.clone()
        };
        let kind = ("identity_provider", provider.as_str());
        vec![Left::new(&tenant, action, kind, changes.clone())]
    });
    Ok(vec![case.denied_to(&scene.viewer, denied, &named)])
}

/// A first sign-in makes a user and a member. That one began says nothing of anybody yet.
async fn sign_in(scene: &Scene<'_>, method: &str) -> Result<Vec<Case>> {
    const STRANGERS: &str = "whoever signs in isn't known yet: wrong attempts are counted";
    let at = OidcProvider::start().await?;
    let (tenant, subject) = (scene.tenant.clone(), unique("ann"));
    let path = format!("/api/v1/tenants/{tenant}/identity-providers");
    let body = json!({"name": "Login", "issuer": at.issuer(), "client_id": "tenantry", "client_secret": "any",
        "redirect_uris": [PAGE], "just_in_time_roles": ["viewer"]});
    let provider = text(&scene.rest.post(&path, body).await?.ok()?, "id");
    let start = json!({"tenant": scene.slug, "provider": provider, "redirectUri": PAGE});
    let begun = scene.ask(START, &scene.nobody, start.clone()).await?;
    if method.starts_with("Start") {
        let case = Case::new(&scene.nobody, start, move |_| {
            let _at = &at;
            Vec::new()
        });
        return Ok(vec![case.never_denied(STRANGERS)]);
    }
    let url = text(&begun, "authorizationUrl");
    let back = at.sign_in(&url, &subject).await?;
    let finish =
        json!({"state": back.state, "code": back.code, "holderSecret": begun["holderSecret"]});
    let case = Case::new(&scene.nobody, finish, move |_| {
        // As long as the case, so that the code can be exchanged there.
        let _at = &at;
        let by = json!({"kind": "user", "id": ANY, "user_id": ANY, "email": ANY, "key_id": "", "name": ""});
        let user = made(json!({"issuer": ANY, "subject": subject}));
        let member = made(json!({"roles": ["viewer"]}));
        let session = made(json!({"user_id": ANY, "identity_provider": provider}));
        [
            Left::new(&tenant, "user.created", ("user", ANY), user),
            Left::new(&tenant, "member.added", ("member", ANY), member),
            Left::new(&tenant, "session.started", ("session", ANY), session),
        ]
        .map(|left| left.by(by.clone()))
        .into()
    });
    Ok(vec![case.never_denied(STRANGERS)])
}

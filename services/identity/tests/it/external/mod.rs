//! Signing in at OpenID providers: one that isn't ours, and one that lies.

mod ends;
mod hostile;
mod lies;
mod reach;
mod sign_in;

use std::collections::HashMap;

use tenantry_proto::identity::v1 as wire;
use tenantry_testkit::oidc_provider::OidcProvider;
use tonic::Status;
use url::Url;

use crate::caller::{Who, reason};
use crate::world::World;

/// Page that providers send the browser back to.
pub(crate) const PAGE: &str = "http://localhost:3000/signed-in";
pub(crate) const CLIENT: &str = "tenantry";

/// A provider of the tenant that the caller selects, as it is asked for, which makes members.
pub(crate) async fn provider(
    world: &World,
    who: &Who,
    issuer: &str,
    but: impl FnOnce(&mut wire::CreateIdentityProviderRequest),
) -> wire::IdentityProvider {
    let mut request = wire::CreateIdentityProviderRequest {
        name: "Login".to_owned(),
        issuer: issuer.to_owned(),
        client_id: CLIENT.to_owned(),
        client_secret: "of the client".to_owned(),
        redirect_uris: vec![PAGE.to_owned()],
        just_in_time_roles: vec!["member".to_owned()],
        ..Default::default()
    };
    but(&mut request);
    let ask = world.ask(who, request).await.unwrap();
    let made = world
        .identity_providers()
        .create_identity_provider(ask)
        .await;
    made.unwrap().into_inner()
}

/// A sign-in that began.
pub(crate) async fn begin(
    world: &World,
    provider: &wire::IdentityProvider,
) -> Result<wire::ExternalSignIn, Status> {
    let request = wire::StartExternalSignInRequest {
        tenant: provider.tenant_id.clone(),
        project: provider.project.clone(),
        provider: provider.id.clone(),
        redirect_uri: PAGE.to_owned(),
    };
    let begun = world.external(0).start_external_sign_in(request).await;
    Ok(begun?.into_inner())
}

/// What the page sends on.
fn finish(begun: &wire::ExternalSignIn, code: &str) -> wire::FinishExternalSignInRequest {
    wire::FinishExternalSignInRequest {
        state: begun.state.clone(),
        code: code.to_owned(),
        holder_secret: begun.holder_secret.clone(),
        iss: String::new(),
    }
}

/// Signs a person in, from one replica to the other.
pub(crate) async fn sign_in(
    world: &World,
    at: &OidcProvider,
    provider: &wire::IdentityProvider,
    subject: &str,
) -> Result<Who, Status> {
    let pair = signed_in(world, at, provider, subject).await?;
    Ok(Who::bearer(&pair.access_token))
}

/// The same, with what the person gets.
async fn signed_in(
    world: &World,
    at: &OidcProvider,
    provider: &wire::IdentityProvider,
    subject: &str,
) -> Result<wire::TokenPair, Status> {
    let begun = begin(world, provider).await?;
    let back = at.sign_in(&begun.authorization_url, subject).await.unwrap();
    assert_eq!(back.state, begun.state);
    let pair = world
        .external(1)
        .finish_external_sign_in(finish(&begun, &back.code))
        .await?;
    Ok(pair.into_inner())
}

/// Who identity takes the caller for.
async fn me(world: &World, who: &Who) -> wire::Caller {
    let ask = world.ask(who, wire::GetCallerRequest {}).await.unwrap();
    world.auth().get_caller(ask).await.unwrap().into_inner()
}

fn parameters(url: &str) -> HashMap<String, String> {
    let url = Url::parse(url).unwrap();
    url.query_pairs().into_owned().collect()
}

fn refused<T: std::fmt::Debug>(outcome: Result<T, Status>) -> String {
    reason(&outcome.unwrap_err())
}

const FAILED: &str = "EXTERNAL_SIGN_IN_FAILED";

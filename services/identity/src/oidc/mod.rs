//! Signing people in at OpenID providers: the relying party's half of OpenID Connect Core 1.0, the code flow with PKCE, by
//! the library `openidconnect`. What is verified here is whom an issuer speaks of; what that gives them isn't decided here.

mod fetch;
mod issuers;

use std::error::Error;

use chrono::{DateTime, Utc};
use jiff::{SignedDuration, Timestamp};
use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreClientAuthMethod, CoreGenderClaim, CoreIdTokenClaims,
    CoreIdTokenVerifier, CoreJwsSigningAlgorithm as Alg, CoreTokenResponse, CoreUserInfoClaims,
};
use openidconnect::{
    AuthType, AuthorizationCode, ClaimsVerificationError, ClientId, ClientSecret, CsrfToken,
    EmptyAdditionalClaims, EndUserEmail, EndUserName, EndpointMaybeSet, EndpointNotSet,
    EndpointSet, LocalizedClaim, Nonce, OAuth2TokenResponse as _, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, Scope, SignatureVerificationError, TokenResponse as _,
    UserInfoClaims,
};
use url::Url;

use crate::domain::external_sign_in::{Person, Ties};
use crate::domain::field;
pub(crate) use fetch::Fetch;
use issuers::{Issuers, Metadata};

/// Signatures that are believed: asymmetric ones. A shared secret or none would let others than the issuer sign.
const ALGORITHMS: [Alg; 9] = [
    Alg::RsaSsaPkcs1V15Sha256,
    Alg::RsaSsaPkcs1V15Sha384,
    Alg::RsaSsaPkcs1V15Sha512,
    Alg::RsaSsaPssSha256,
    Alg::RsaSsaPssSha384,
    Alg::RsaSsaPssSha512,
    Alg::EcdsaP256Sha256,
    Alg::EcdsaP384Sha384,
    Alg::EdDsa,
];
/// How far an issuer's clock may be off.
const SKEW: SignedDuration = SignedDuration::from_mins(2);
/// Longest since a token was issued: it comes straight from its issuer.
const ISSUED_WITHIN: SignedDuration = SignedDuration::from_mins(10);
/// Longest subject (OpenID Connect Core 1.0, section 2).
const MAX_SUBJECT_BYTES: usize = 255;

/// How the platform is known to a provider.
#[derive(Clone, Copy)]
pub(crate) struct Client<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) client_secret: Option<&'a str>,
    pub(crate) redirect_uri: &'a str,
}

/// What a provider sent back.
pub(crate) struct Returned<'a> {
    pub(crate) code: &'a str,
    /// `iss` of the answer; empty where it had none.
    pub(crate) iss: &'a str,
}

/// Why a sign-in went no further. For the log: it holds no token, code or secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the issuer doesn't answer as one: {0}")]
    Issuer(String),
    #[error("the provider gave no token: {0}")]
    Exchange(String),
    #[error("the answer names another issuer, or none where it should")]
    AnotherIssuer,
    #[error("the ID token isn't believed: {0}")]
    Token(String),
}

type Ready = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// The relying party.
#[derive(Clone, Debug)]
pub(crate) struct Oidc {
    issuers: Issuers,
    fetch: Fetch,
}

impl Oidc {
    pub(crate) fn new(fetch: Fetch) -> Self {
        Self {
            issuers: Issuers::new(fetch.clone()),
            fetch,
        }
    }

    /// Whether issuers may speak plain HTTP and stand in private networks.
    pub(crate) const fn is_insecure(&self) -> bool {
        self.fetch.is_insecure()
    }

    /// Where to send a browser.
    pub(crate) async fn begin(
        &self,
        client: Client<'_>,
        scopes: &[String],
        state: &str,
        ties: &Ties,
    ) -> Result<Url, Failure> {
        let metadata = self.issuers.get(client.issuer).await?;
        let verifier = PkceCodeVerifier::new(ties.pkce_verifier.clone());
        let (state, nonce) = (state.to_owned(), ties.nonce.clone());
        let ready = ready(&metadata, client)?;
        let (url, ..) = ready
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                move || CsrfToken::new(state.clone()),
                move || Nonce::new(nonce.clone()),
            )
            .add_scopes(scopes.iter().cloned().map(Scope::new))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .url();
        Ok(url)
    }

    /// Exchanges a code for an ID token and says whom it speaks of, once all of it is verified.
    pub(crate) async fn finish(
        &self,
        client: Client<'_>,
        ties: Ties,
        returned: Returned<'_>,
    ) -> Result<Person, Failure> {
        let metadata = self.issuers.get(client.issuer).await?;
        let says_iss = metadata
            .additional_metadata()
            .authorization_response_iss_parameter_supported;
        if returned.iss != client.issuer && (says_iss || !returned.iss.is_empty()) {
            return Err(Failure::AnotherIssuer);
        }
        let ready = ready(&metadata, client)?;
        let answer = ready
            .exchange_code(AuthorizationCode::new(returned.code.to_owned()))
            .map_err(|error| Failure::Issuer(chain(&error)))?
            .set_pkce_verifier(PkceCodeVerifier::new(ties.pkce_verifier))
            .request_async(&self.fetch)
            .await
            .map_err(|error| Failure::Exchange(chain(&error)))?;
        let nonce = Nonce::new(ties.nonce);
        let claims = match verified(&metadata, client, &answer, &nonce) {
            Err(ClaimsVerificationError::SignatureVerification(
                SignatureVerificationError::NoMatchingKey
                | SignatureVerificationError::CryptoError(_),
            )) => {
                // The issuer may have new keys.
                let renewed = self.issuers.renewed(client.issuer).await?;
                verified(&renewed, client, &answer, &nonce)
            }
            decided => decided,
        };
        let claims = claims.map_err(|error| Failure::Token(error.to_string()))?;
        let mut person = person(&claims)?;
        if person.email.is_empty() || person.name.is_empty() {
            self.complete(&ready, &answer, &claims, &mut person).await;
        }
        Ok(person)
    }

    /// Adds what the issuer tells of the person beside the token. Where it tells nothing the person has signed in all the
    /// same.
    async fn complete(
        &self,
        ready: &Ready,
        answer: &CoreTokenResponse,
        claims: &CoreIdTokenClaims,
        person: &mut Person,
    ) {
        let token = answer.access_token().clone();
        let Ok(request) = ready.user_info(token, Some(claims.subject().clone())) else {
            return;
        };
        let told: Result<CoreUserInfoClaims, _> = request.request_async(&self.fetch).await;
        match told {
            Ok(told) => {
                let told: UserInfoClaims<EmptyAdditionalClaims, CoreGenderClaim> = told;
                if person.email.is_empty() {
                    person.email = verified_email(told.email(), told.email_verified());
                }
                if person.name.is_empty() {
                    person.name = name(told.name());
                }
            }
            Err(error) => tracing::debug!(error = %chain(&error), "an issuer told nothing further"),
        }
    }
}

fn ready(metadata: &Metadata, client: Client<'_>) -> Result<Ready, Failure> {
    let redirect = RedirectUrl::new(client.redirect_uri.to_owned())
        .map_err(|error| Failure::Issuer(error.to_string()))?;
    let secret = client
        .client_secret
        .map(|text| ClientSecret::new(text.to_owned()));
    let methods = metadata.token_endpoint_auth_methods_supported();
    let basic = methods.is_none_or(|methods| {
        methods.contains(&CoreClientAuthMethod::ClientSecretBasic)
            || !methods.contains(&CoreClientAuthMethod::ClientSecretPost)
    });
    let ready = CoreClient::from_provider_metadata(
        metadata.clone(),
        ClientId::new(client.client_id.to_owned()),
        secret,
    )
    .set_redirect_uri(redirect)
    .set_auth_type(if basic {
        AuthType::BasicAuth
    } else {
        AuthType::RequestBody
    });
    Ok(ready)
}

/// The claims of the answer's ID token, once issuer, audience, authorised party, signature, times and nonce are right.
fn verified(
    metadata: &Metadata,
    client: Client<'_>,
    answer: &CoreTokenResponse,
    nonce: &Nonce,
) -> Result<CoreIdTokenClaims, ClaimsVerificationError> {
    let id_token = answer
        .id_token()
        .ok_or_else(|| ClaimsVerificationError::Other("there is none".to_owned()))?;
    // As of a public client: a client's secret signs nothing here.
    let verifier = CoreIdTokenVerifier::new_public_client(
        ClientId::new(client.client_id.to_owned()),
        metadata.issuer().clone(),
        metadata.jwks().clone(),
    )
    .set_allowed_algs(ALGORITHMS)
    .set_time_fn(|| at(tenantry_core::clock::now() - SKEW))
    .set_issue_time_verifier_fn(|issued| {
        let now = tenantry_core::clock::now();
        if (at(now - ISSUED_WITHIN - SKEW)..=at(now + SKEW)).contains(&issued) {
            Ok(())
        } else {
            Err(format!("issued at {issued}"))
        }
    });
    let claims = id_token.claims(&verifier, nonce)?;
    let other_party = claims
        .authorized_party()
        .is_some_and(|party| party.as_str() != client.client_id);
    if other_party {
        let why = "it was issued to another party (azp)".to_owned();
        return Err(ClaimsVerificationError::InvalidAudience(why));
    }
    Ok(claims.clone())
}

fn person(claims: &CoreIdTokenClaims) -> Result<Person, Failure> {
    let subject = claims.subject().as_str();
    if subject.is_empty()
        || subject.len() > MAX_SUBJECT_BYTES
        || subject.chars().any(char::is_control)
    {
        return Err(Failure::Token("its subject has no allowed form".to_owned()));
    }
    Ok(Person {
        subject: subject.to_owned(),
        email: verified_email(claims.email(), claims.email_verified()),
        name: name(claims.name()),
    })
}

fn verified_email(email: Option<&EndUserEmail>, verified: Option<bool>) -> String {
    email
        .filter(|_| verified == Some(true))
        .and_then(|email| field::email(email).ok())
        .unwrap_or_default()
}

fn name(name: Option<&LocalizedClaim<EndUserName>>) -> String {
    name.and_then(|name| name.get(None))
        .and_then(|name| field::name(name).ok())
        .unwrap_or_default()
}

fn at(instant: Timestamp) -> DateTime<Utc> {
    DateTime::from_timestamp(instant.as_second(), 0).unwrap_or_default()
}

/// An error with its causes, which alone say what happened.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

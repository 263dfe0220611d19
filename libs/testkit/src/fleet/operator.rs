//! The first operator of a fleet: made by the one-time token, as a company would.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::keys;
use crate::rest::Rest;

/// The first operator, who holds both platform permissions.
#[derive(Clone, Serialize, Deserialize)]
pub struct Operator {
    /// E-mail address to sign in with.
    pub email: String,
    /// Password.
    pub password: String,
    /// Platform API key with the operator's permissions; works as a bearer token and doesn't expire.
    pub token: String,
}

impl std::fmt::Debug for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Operator")
            .field("email", &self.email)
            .finish_non_exhaustive()
    }
}

impl Operator {
    /// Makes the operator in exchange for the one-time token, signs in, and makes the API key.
    pub(crate) async fn bootstrap(rest: &Rest, token: &str) -> Result<Self> {
        let (email, password) = ("operator@tenantry.test".to_owned(), keys::password());
        let body = json!({"token": token.trim(), "email": email, "password": password, "name": "Operator"});
        rest.post("/api/v1/operators:bootstrap", body)
            .await?
            .ok()
            .context("bootstrap")?;
        let session = sign_in(rest, &email, &password).await?;
        let body = json!({"name": "local fleet"});
        let rest = rest.clone().bearer(&session);
        let key = rest
            .post("/api/v1/operators/api-keys", body)
            .await?
            .ok()
            .context("operators/api-keys")?;
        let token = key["secret"]
            .as_str()
            .context("the new API key has no secret")?
            .to_owned();
        Ok(Self {
            email,
            password,
            token,
        })
    }
}

/// Signs in and returns the access token.
///
/// # Errors
/// When the gateway refuses.
pub async fn sign_in(rest: &Rest, email: &str, password: &str) -> Result<String> {
    let body = json!({"email": email, "password": password});
    let session: Value = rest
        .post("/api/v1/auth/login", body)
        .await?
        .ok()
        .context("login")?;
    Ok(session["access_token"]
        .as_str()
        .context("the answer to login has no access token")?
        .to_owned())
}

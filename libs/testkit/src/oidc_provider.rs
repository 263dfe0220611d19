//! An OpenID provider that isn't ours (PyPI `oidc-provider-mock`), and a person with a browser at it.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::redirect::Policy;
use serde_json::Value;
use url::{Url, form_urlencoded};

use crate::probe::Probe;
use crate::process::Command;
use crate::tools::Tool;
use crate::unit::Unit;
use crate::{paths, port};

/// A provider that lets anyone be whom they say they are. It knows every client, and makes its keys when it starts.
#[derive(Debug)]
pub struct OidcProvider {
    unit: Unit,
    address: SocketAddr,
    browser: reqwest::Client,
}

/// What the provider sends a browser back with.
#[derive(Clone, Debug)]
pub struct SentBack {
    /// `code`.
    pub code: String,
    /// `state`.
    pub state: String,
}

impl OidcProvider {
    /// Starts one.
    ///
    /// # Errors
    /// When it isn't installed or doesn't start.
    pub async fn start() -> Result<Self> {
        let address = port::local(port::free()?);
        let log = paths::scratch("oidc")?.join("provider.log");
        let command = Command::new(Tool::OidcProvider.find()?, log)
            .arg("--host")
            .arg(address.ip().to_string())
            .arg("--port")
            .arg(address.port().to_string());
        let unit = Unit::new("oidc-provider", command, Probe::Tcp(address));
        unit.start().await?;
        Ok(Self {
            unit,
            address,
            browser: crate::rest::client().redirect(Policy::none()).build()?,
        })
    }

    /// Its issuer.
    #[must_use]
    pub fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Gives it new keys, and none of the old ones: it forgets all else too.
    ///
    /// # Errors
    /// When it doesn't start again.
    pub async fn rotate_keys(&self) -> Result<()> {
        self.unit.stop().await?;
        self.unit.start().await
    }

    /// Says what it knows of a person.
    ///
    /// # Errors
    /// When it doesn't take it.
    pub async fn set_user(&self, subject: &str, claims: &Value) -> Result<()> {
        let url = format!("{}/users/{subject}", self.issuer());
        let answer = self.browser.put(url).json(claims).send().await?;
        ensure!(answer.status().is_success(), "it answers {answer:?}");
        Ok(())
    }

    /// Signs a person in where a browser was sent, and returns what comes back to the page.
    ///
    /// # Errors
    /// When it sends the browser nowhere.
    pub async fn sign_in(&self, authorization_url: &str, subject: &str) -> Result<SentBack> {
        let form: String = form_urlencoded::Serializer::new(String::new())
            .append_pair("sub", subject)
            .finish();
        let answer = self
            .browser
            .post(authorization_url)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form)
            .send()
            .await?;
        let location = answer
            .headers()
            .get(LOCATION)
            .with_context(|| format!("it answers {answer:?}"))?;
        let page = Url::parse(location.to_str()?)?;
        let of = |name: &str| {
            let mut pairs = page.query_pairs();
            pairs
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.into_owned())
                .with_context(|| format!("no {name} in {page}"))
        };
        Ok(SentBack {
            code: of("code")?,
            state: of("state")?,
        })
    }
}

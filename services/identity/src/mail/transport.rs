//! The way that mail takes: to a server by SMTP, or into a folder for development.

use std::path::Path;
use std::str::FromStr;

use anyhow::Context as _;
use lettre::{AsyncFileTransport, AsyncTransport as _, Message, Tokio1Executor};
use url::Url;

use super::smtp::{self, Smtp};

/// Where mail goes. Never shown, because it may hold a password.
#[derive(Clone)]
pub struct MailUrl(Url);

impl FromStr for MailUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = Url::parse(text)
            .ok()
            .filter(|url| matches!(url.scheme(), "smtp" | "smtps" | "file"))
            .ok_or_else(|| "must be smtp://host:port, smtps://host or file:///folder".to_owned())?;
        let url = Self(url);
        if url.0.password().is_some() && !url.is_private() {
            return Err(
                "has a password, which would go in the clear: use smtps://, or add ?tls=required"
                    .to_owned(),
            );
        }
        Ok(url)
    }
}

impl MailUrl {
    pub(super) const fn url(&self) -> &Url {
        &self.0
    }

    /// What it asks for by `?tls=`: `required` or `opportunistic`.
    pub(super) fn tls(&self) -> Option<String> {
        let mut pairs = self.0.query_pairs();
        pairs
            .find(|(key, _)| key == "tls")
            .map(|(_, value)| value.into_owned())
    }

    /// Whether nothing is said to the server but behind TLS.
    fn is_private(&self) -> bool {
        self.0.scheme() == "smtps" || self.tls().as_deref() == Some("required")
    }
}

impl std::fmt::Debug for MailUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MailUrl(..)")
    }
}

/// Why a mail wasn't sent, as logs may say it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsent {
    /// It may go later.
    #[error("{0}")]
    Later(String),
    /// The server doesn't take the recipient, and doesn't say whether that is the recipient's doing or ours.
    #[error("{0}, and not why")]
    Doubtful(String),
    /// The server was handed the mail, and never said whether it keeps it: it may have gone.
    #[error("no answer to the mail: {0}")]
    Unanswered(String),
    /// It will never go.
    #[error("{0}; it is given up")]
    Never(String),
}

/// The way that mail takes.
pub(super) enum Transport {
    Smtp(Smtp),
    Files(AsyncFileTransport<Tokio1Executor>),
}

/// A mail that will be taken as far as that can be known before it is handed over. Dropped, it doesn't go.
pub(crate) struct Offered(Way);

enum Way {
    Smtp(smtp::Offered),
    Files(AsyncFileTransport<Tokio1Executor>, Message),
}

impl Transport {
    /// The way to this place. A server is believed by a certificate of a public authority, or of those in the file.
    pub(super) fn new(to: &MailUrl, ca_file: Option<&Path>) -> anyhow::Result<Self> {
        if to.0.scheme() != "file" {
            return Ok(Self::Smtp(Smtp::new(to, ca_file)?));
        }
        let folder = to.0.to_file_path().ok();
        let folder = folder.context("TENANTRY_MAIL_URL must be file:///folder")?;
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("can't make the mail folder {}", folder.display()))?;
        Ok(Self::Files(AsyncFileTransport::new(folder)))
    }

    /// Offers a message, once.
    pub(super) async fn offer(&self, message: Message) -> Result<Offered, Unsent> {
        Ok(Offered(match self {
            Self::Smtp(smtp) => Way::Smtp(smtp.offer(&message).await?),
            Self::Files(files) => Way::Files(files.clone(), message),
        }))
    }
}

impl Offered {
    /// Hands it over, once.
    pub(crate) async fn hand_over(self) -> Result<(), Unsent> {
        match self.0 {
            Way::Smtp(offered) => offered.hand_over().await,
            Way::Files(files, message) => {
                let sent = files.send(message).await;
                sent.map(drop).map_err(|e| Unsent::Later(e.to_string()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_goes_behind_tls_or_nowhere() {
        for good in [
            "smtp://mail.example.com:25",
            "smtp://mail.example.com?tls=opportunistic",
            "smtps://me:secret@mail.example.com",
            "smtp://me:secret@mail.example.com:587?tls=required",
            "file:///tmp/mail",
        ] {
            assert!(good.parse::<MailUrl>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "mail.example.com",
            "http://mail.example.com",
            "smtp://me:secret@mail.example.com",
            "smtp://me:secret@mail.example.com?tls=opportunistic",
        ] {
            let refused = bad.parse::<MailUrl>().unwrap_err();
            assert!(!refused.contains("secret"), "{refused}");
        }
    }
}

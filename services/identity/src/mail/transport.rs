//! The way that mail takes: to a server by SMTP, or into a folder for development.

use std::path::Path;
use std::str::FromStr;

use anyhow::{Context as _, bail};
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{
    AsyncFileTransport, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
};
use url::Url;

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
    /// What it asks for by `?tls=`: `required` or `opportunistic`.
    fn tls(&self) -> Option<String> {
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

/// Why a mail wasn't sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unsent {
    /// It may go later.
    #[error("{0}")]
    Later(String),
    /// It will never go.
    #[error("{0}; it is given up")]
    Never(String),
}

pub(super) enum Transport {
    Smtp(AsyncSmtpTransport<Tokio1Executor>),
    Files(AsyncFileTransport<Tokio1Executor>),
}

impl Transport {
    /// The way to this place. A server is believed by a certificate of a public authority, or of those in the file.
    pub(super) fn new(to: &MailUrl, ca_file: Option<&Path>) -> anyhow::Result<Self> {
        if to.0.scheme() != "file" {
            return Ok(Self::Smtp(smtp(to, ca_file)?));
        }
        let folder = to.0.to_file_path().ok();
        let folder = folder.context("TENANTRY_MAIL_URL must be file:///folder")?;
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("can't make the mail folder {}", folder.display()))?;
        Ok(Self::Files(AsyncFileTransport::new(folder)))
    }

    /// Hands a message over, once.
    pub(super) async fn send(&self, message: Message) -> Result<(), Unsent> {
        match self {
            Self::Smtp(smtp) => match smtp.send(message).await {
                Ok(_) => Ok(()),
                Err(error) if is_final(&error) => Err(Unsent::Never(error.to_string())),
                Err(error) => Err(Unsent::Later(error.to_string())),
            },
            Self::Files(files) => {
                let sent = files.send(message).await;
                sent.map(drop).map_err(|e| Unsent::Later(e.to_string()))
            }
        }
    }
}

fn smtp(
    to: &MailUrl,
    ca_file: Option<&Path>,
) -> anyhow::Result<AsyncSmtpTransport<Tokio1Executor>> {
    let smtp = AsyncSmtpTransport::<Tokio1Executor>::from_url(to.0.as_str());
    let smtp = smtp.context("TENANTRY_MAIL_URL can't be used")?;
    let Some(ca_file) = ca_file else {
        return Ok(smtp.build());
    };
    let pem = std::fs::read(ca_file)
        .with_context(|| format!("can't read TENANTRY_MAIL_CA_FILE {}", ca_file.display()))?;
    let trusted = Certificate::from_pem(&pem);
    let trusted = trusted.context("TENANTRY_MAIL_CA_FILE must be certificates in PEM")?;
    let parameters = TlsParameters::builder(to.0.host_str().unwrap_or_default().to_owned())
        .add_root_certificate(trusted)
        .build_rustls()?;
    let tls = match (to.0.scheme(), to.tls().as_deref()) {
        ("smtps", _) => Tls::Wrapper(parameters),
        (_, Some("required")) => Tls::Required(parameters),
        (_, Some("opportunistic")) => Tls::Opportunistic(parameters),
        _ => bail!("TENANTRY_MAIL_CA_FILE is of no use: TENANTRY_MAIL_URL asks for no TLS"),
    };
    Ok(smtp.tls(tls).build())
}

/// Whether the server will never take this mail. That it doesn't take mail from us as we are set up now, 53x, says nothing
/// of the mail.
fn is_final(error: &lettre::transport::smtp::Error) -> bool {
    let code = error.status().map(|code| code.to_string());
    error.is_permanent() && !code.is_some_and(|code| code.starts_with("53"))
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

//! SMTP (RFC 5321), in two steps: a server is offered a mail, and then handed what it says. Only what was handed over can
//! have gone.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures::FutureExt as _;
use lettre::Message;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, Tls, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use lettre::transport::smtp::{Error, SMTP_PORT, SUBMISSION_PORT, SUBMISSIONS_PORT};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use url::Url;

use super::no::{At, No};
use super::transport::{MailUrl, Unsent};

/// Longest time that one address of the server may take to be reached.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Longest time until a server waits for what the mail says.
pub(crate) const OFFER_WITHIN: Duration = Duration::from_secs(30);
/// Longest time until it says whether it keeps that. It may look through the mail first (RFC 5321, 4.5.3.2.6).
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_mins(10);

/// A mail server, and how it is spoken to.
pub(super) struct Smtp {
    host: String,
    port: u16,
    hello: ClientId,
    tls: Tls,
    credentials: Option<Credentials>,
}

/// A mail whose recipient the server took: it waits for what the mail says.
pub(super) struct Offered {
    connection: Box<AsyncSmtpConnection>,
    text: Vec<u8>,
}

impl Smtp {
    /// The server of a URL. It is believed by a certificate of a public authority, or of those in the file.
    pub(super) fn new(to: &MailUrl, ca_file: Option<&Path>) -> anyhow::Result<Self> {
        let url = to.url();
        let host = url.host_str().context("TENANTRY_MAIL_URL has no host")?;
        let parameters = || -> anyhow::Result<TlsParameters> {
            let mut parameters = TlsParameters::builder(host.to_owned());
            if let Some(file) = ca_file {
                parameters = parameters.add_root_certificate(trusted(file)?);
            }
            let built = parameters.build_rustls();
            built.context("TENANTRY_MAIL_CA_FILE or the host of TENANTRY_MAIL_URL can't be used")
        };
        let (usual_port, tls) = match (url.scheme(), to.tls().as_deref()) {
            ("smtps", _) => (SUBMISSIONS_PORT, Tls::Wrapper(parameters()?)),
            (_, Some("required")) => (SUBMISSION_PORT, Tls::Required(parameters()?)),
            (_, Some("opportunistic")) => (SUBMISSION_PORT, Tls::Opportunistic(parameters()?)),
            (_, Some(_)) => bail!("TENANTRY_MAIL_URL: tls is `required` or `opportunistic`"),
            (_, None) if ca_file.is_some() => {
                bail!("TENANTRY_MAIL_CA_FILE is of no use: TENANTRY_MAIL_URL asks for no TLS")
            }
            (_, None) => (SMTP_PORT, Tls::None),
        };
        let name = url.path().trim_matches('/');
        Ok(Self {
            host: host.to_owned(),
            port: url.port().unwrap_or(usual_port),
            hello: match name {
                "" => ClientId::default(),
                name => ClientId::Domain(name.to_owned()),
            },
            tls,
            credentials: credentials(url)?,
        })
    }

    /// Offers a mail. Whatever goes wrong until this is done, the mail hasn't gone.
    pub(super) async fn offer(&self, message: &Message) -> Result<Offered, Unsent> {
        match tokio::time::timeout(OFFER_WITHIN, self.offer_it(message)).await {
            Ok(offered) => offered,
            Err(_) => Err(Unsent::Later("the server took too long".to_owned())),
        }
    }

    async fn offer_it(&self, message: &Message) -> Result<Offered, Unsent> {
        let mut connection = self.connect().await.map_err(|e| unsent(At::Setup, &e))?;
        let text = message.formatted();
        match offer(&mut connection, message, &text).await {
            Ok(()) => Ok(Offered {
                connection: Box::new(connection),
                text,
            }),
            Err(unsent) => {
                leave(&mut connection);
                Err(unsent)
            }
        }
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Error> {
        let (at_once, later) = match &self.tls {
            Tls::None => (None, None),
            Tls::Wrapper(tls) => (Some(tls.clone()), None),
            Tls::Required(tls) | Tls::Opportunistic(tls) => (None, Some(tls.clone())),
        };
        let server = (self.host.as_str(), self.port);
        let within = Some(CONNECT_WITHIN);
        let connected =
            AsyncSmtpConnection::connect_tokio1(server, within, &self.hello, at_once, None);
        let mut connection = connected.await?;
        // Where it is required and the server knows no TLS, this is what fails.
        let must = matches!(self.tls, Tls::Required(_));
        if let Some(tls) = later.filter(|_| must || connection.can_starttls()) {
            connection.starttls(tls, &self.hello).await?;
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await?;
        }
        Ok(connection)
    }
}

impl Offered {
    /// Hands over what the mail says. It went once the server says so: nobody waits for a goodbye.
    pub(super) async fn hand_over(mut self) -> Result<(), Unsent> {
        let answer = self.connection.message(&self.text);
        let answer = tokio::time::timeout(ANSWER_WITHIN, answer).await;
        leave(&mut self.connection);
        match answer {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if error.status().is_some() => Err(unsent(At::Text, &error)),
            Ok(Err(error)) => Err(Unsent::Unanswered(in_words(&error))),
            Err(_) => Err(Unsent::Unanswered("the server took too long".to_owned())),
        }
    }
}

/// Says from whom and to whom the mail goes, and that it comes.
async fn offer(
    connection: &mut AsyncSmtpConnection,
    message: &Message,
    text: &[u8],
) -> Result<(), Unsent> {
    let envelope = message.envelope();
    let known = connection.server_info();
    let mut parameters = Vec::new();
    let mut addresses = envelope.to().iter().chain(envelope.from());
    if addresses.any(|address| !AsRef::<str>::as_ref(address).is_ascii()) {
        if !known.supports_feature(Extension::SmtpUtfEight) {
            return Err(Unsent::Later("the server knows no SMTPUTF8".to_owned()));
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    if !text.is_ascii() {
        if !known.supports_feature(Extension::EightBitMime) {
            return Err(Unsent::Later("the server knows no 8BITMIME".to_owned()));
        }
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    let from = Mail::new(envelope.from().cloned(), parameters);
    let said = connection.command(from).await;
    said.map_err(|error| unsent(At::Setup, &error))?;
    for to in envelope.to() {
        let said = connection.command(Rcpt::new(to.clone(), Vec::new())).await;
        said.map_err(|error| unsent(At::Recipient, &error))?;
    }
    let said = connection.command(Data).await;
    said.map_err(|error| unsent(At::Setup, &error))?;
    Ok(())
}

/// Says goodbye, and waits for no answer: it would say nothing of the mail.
fn leave(connection: &mut AsyncSmtpConnection) {
    let _ = connection.quit().now_or_never();
}

/// The certificates in a file.
fn trusted(file: &Path) -> anyhow::Result<Certificate> {
    let pem = std::fs::read(file)
        .with_context(|| format!("can't read TENANTRY_MAIL_CA_FILE {}", file.display()))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    ensure!(
        found.is_ok_and(|found| !found.is_empty()),
        "TENANTRY_MAIL_CA_FILE {} has no certificate: name a file of certificates in PEM, which begin with \
         -----BEGIN CERTIFICATE-----",
        file.display()
    );
    Ok(Certificate::from_pem(&pem)?)
}

fn credentials(url: &Url) -> anyhow::Result<Option<Credentials>> {
    let Some(password) = url.password() else {
        return Ok(None);
    };
    let decoded = |text| -> anyhow::Result<String> {
        let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
        let decoded = decoded.context("TENANTRY_MAIL_URL has a user or password that isn't UTF-8");
        Ok(decoded?.into_owned())
    };
    let (user, password) = (decoded(url.username())?, decoded(password)?);
    Ok(Some(Credentials::new(user, password)))
}

fn unsent(at: At, error: &Error) -> Unsent {
    match No::of(error) {
        Some(no) => no.to(at),
        None => Unsent::Later(in_words(error)),
    }
}

/// The error without what the server said: that repeats addresses.
fn in_words(error: &Error) -> String {
    if error.is_response() {
        "the server answered in no words of SMTP, or left".to_owned()
    } else {
        error.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_certificate_is_refused_in_words_that_help() {
        let folder = std::env::temp_dir().join(format!("mail-ca-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&folder).unwrap();
        let url: MailUrl = "smtps://mail.example.com".parse().unwrap();
        let key =
            "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n";
        for (name, content) in [("key.pem", key), ("empty.pem", ""), ("words.pem", "hello")] {
            let file = folder.join(name);
            std::fs::write(&file, content).unwrap();
            let refused = Smtp::new(&url, Some(&file)).err().unwrap().to_string();
            assert!(refused.contains("TENANTRY_MAIL_CA_FILE"), "{refused}");
            assert!(refused.contains("BEGIN CERTIFICATE"), "{refused}");
        }
        std::fs::remove_dir_all(folder).unwrap();
        assert!(Smtp::new(&url, None).is_ok());
    }

    #[test]
    fn a_url_says_where_the_server_is_and_who_sends() {
        for (url, port, has_credentials) in [
            ("smtp://mail.example.com", 25, false),
            ("smtp://mail.example.com:2525/me.example", 2525, false),
            ("smtp://mail.example.com?tls=opportunistic", 587, false),
            ("smtp://me:p%40ss@mail.example.com?tls=required", 587, true),
            ("smtps://me:pass@mail.example.com", 465, true),
        ] {
            let smtp = Smtp::new(&url.parse().unwrap(), None).unwrap();
            assert_eq!(smtp.port, port, "{url}");
            assert_eq!(smtp.credentials.is_some(), has_credentials, "{url}");
        }
        let unknown = "smtp://mail.example.com?tls=maybe".parse().unwrap();
        assert!(Smtp::new(&unknown, None).is_err());
    }
}

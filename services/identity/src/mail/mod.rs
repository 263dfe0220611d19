//! Mail: by SMTP, or as files in a folder for development. Sent after the commit; what fails is logged, without what it
//! said, and nobody waits.

mod letters;

use std::str::FromStr;
use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;
use lettre::message::{Mailbox, MultiPart};
use lettre::{
    AsyncFileTransport, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
};
use secrecy::{ExposeSecret as _, SecretString};
use tenantry_rpc::Tasks;
use url::Url;

use letters::{Letter, Welcome};

/// Most characters of a subject: names of people and tenants are longer than a line of a mail client.
const SUBJECT_CHARS: usize = 120;

/// Where mail goes. Never shown, because it may hold a password.
#[derive(Clone)]
pub struct MailUrl(Url);

impl FromStr for MailUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Url::parse(text)
            .ok()
            .filter(|url| matches!(url.scheme(), "smtp" | "smtps" | "file"))
            .map(Self)
            .ok_or_else(|| "must be smtp://host:port, smtps://host or file:///folder".to_owned())
    }
}

impl std::fmt::Debug for MailUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MailUrl(..)")
    }
}

/// What the links of mails begin with.
#[derive(Clone, Debug)]
pub struct PublicUrl(Url);

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Url::parse(text.trim_end_matches('/'))
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .filter(|url| url.username().is_empty() && url.password().is_none())
            .filter(|url| url.query().is_none() && url.fragment().is_none())
            .map(Self)
            .ok_or_else(|| {
                "must be a plain URL, as https://console.example.com or https://api.example.com/api/v1"
                    .to_owned()
            })
    }
}

impl PublicUrl {
    /// The link to what a one-time token is for, as `<base>/invitations/<token>`.
    fn link(&self, what: &str, token: &SecretString) -> String {
        let base = self.0.as_str().trim_end_matches('/');
        format!("{base}/{what}/{}", token.expose_secret())
    }
}

enum Transport {
    Smtp(AsyncSmtpTransport<Tokio1Executor>),
    Files(AsyncFileTransport<Tokio1Executor>),
}

/// Sends mail: one function for each kind.
#[derive(Clone)]
pub(crate) struct Mailer {
    transport: Arc<Transport>,
    from: Mailbox,
    public_url: PublicUrl,
    tasks: Tasks,
}

impl Mailer {
    pub(crate) fn new(
        url: &MailUrl,
        from: &str,
        public_url: &PublicUrl,
        tasks: &Tasks,
    ) -> anyhow::Result<Self> {
        let transport = if url.0.scheme() == "file" {
            let folder = url.0.to_file_path().ok();
            let folder = folder.context("TENANTRY_MAIL_URL must be file:///folder")?;
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("can't make the mail folder {}", folder.display()))?;
            Transport::Files(AsyncFileTransport::new(folder))
        } else {
            let smtp = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.0.as_str());
            Transport::Smtp(smtp.context("TENANTRY_MAIL_URL can't be used")?.build())
        };
        Ok(Self {
            transport: Arc::new(transport),
            from: from
                .parse()
                .context("TENANTRY_MAIL_FROM must be like Name <a@b.example>")?,
            public_url: public_url.clone(),
            tasks: tasks.clone(),
        })
    }

    /// Tells a person that they were added to a tenant.
    pub(crate) fn welcome(&self, email: &str, name: &str, tenant: &str) {
        self.send(email, &Welcome { name, tenant });
    }

    /// Asks a person to join a tenant. The only place where the secret of an invitation goes.
    pub(crate) fn invitation(&self, invitation: &Invitation<'_>) {
        let letter = letters::Invitation {
            tenant: invitation.tenant,
            by: invitation.by,
            roles: invitation.roles.join(", "),
            until: invitation
                .until
                .strftime("%-d %B %Y, %H:%M UTC")
                .to_string(),
            link: self.public_url.link("invitations", invitation.token),
        };
        self.send(invitation.to, &letter);
    }

    /// Lets a person replace a forgotten password. The only place where the secret of such a link goes.
    pub(crate) fn password_reset(
        &self,
        email: &str,
        name: &str,
        token: &SecretString,
        minutes: i32,
    ) {
        let link = self.public_url.link("password-reset", token);
        let letter = letters::PasswordReset {
            name,
            minutes,
            link,
        };
        self.send(email, &letter);
    }

    fn send(&self, email: &str, letter: &impl Letter) {
        let kind = letter.kind();
        let Some(message) = message(&self.from, email, letter) else {
            tracing::warn!(mail.kind = kind, "a mail can't be written");
            return;
        };
        let transport = Arc::clone(&self.transport);
        self.tasks.spawn("mail", async move {
            let sent = match &*transport {
                Transport::Smtp(smtp) => smtp
                    .send(message)
                    .await
                    .map(drop)
                    .map_err(|e| e.to_string()),
                Transport::Files(files) => files
                    .send(message)
                    .await
                    .map(drop)
                    .map_err(|e| e.to_string()),
            };
            if let Err(error) = sent {
                tracing::warn!(mail.kind = kind, error, "a mail was not sent");
            }
        });
    }
}

/// What a mail says of an invitation.
#[derive(Debug)]
pub(crate) struct Invitation<'a> {
    /// E-mail address that it goes to.
    pub(crate) to: &'a str,
    /// Name of the tenant.
    pub(crate) tenant: &'a str,
    /// E-mail address of who invites; empty for a program.
    pub(crate) by: &'a str,
    pub(crate) roles: Vec<&'a str>,
    pub(crate) until: Timestamp,
    pub(crate) token: &'a SecretString,
}

/// The letter as a message in two forms; `None` for an address that no mail can go to.
fn message(from: &Mailbox, email: &str, letter: &impl Letter) -> Option<Message> {
    let text = letter.text().ok()?;
    let html = letter.html().ok()?;
    Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, email.parse().ok()?))
        .subject(one_line(&letter.subject()))
        .multipart(MultiPart::alternative_plain_html(text, html))
        .ok()
}

/// A text in one line of bounded length: a header ends at the end of its line.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(SUBJECT_CHARS)
        .collect()
}

impl std::fmt::Debug for Mailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mailer(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(letter: &impl Letter) -> String {
        let from = "Tenantry <no-reply@tenantry.test>".parse().unwrap();
        let message = message(&from, "ann@example.com", letter).unwrap();
        String::from_utf8(message.formatted()).unwrap()
    }

    fn headers(mail: &str) -> Vec<&str> {
        let (head, _) = mail.split_once("\r\n\r\n").unwrap();
        head.lines()
            .filter(|line| !line.starts_with(' '))
            .filter_map(|line| line.split_once(':'))
            .map(|(name, _)| name)
            .collect()
    }

    #[test]
    fn a_name_adds_no_header_and_no_recipient() {
        let plain = Welcome {
            name: "Ann",
            tenant: "acme",
        };
        for evil in [
            "acme\r\nBcc: eve@example.com",
            "acme\nBcc: eve@example.com",
            "acme\r\n\r\nBody",
            "acme\u{2028}Bcc: eve@example.com",
            "ácme\r\nBcc: eve@example.com",
        ] {
            let letter = Welcome {
                name: evil,
                tenant: evil,
            };
            let mail = written(&letter);
            assert_eq!(headers(&mail), headers(&written(&plain)), "{evil:?}");
        }
    }

    #[test]
    fn a_name_is_text_in_html() {
        let name = "<img src=x onerror=alert(1)> & \"Co\"";
        let html = Welcome { name, tenant: name }.html().unwrap();
        assert!(!html.contains("<img"), "{html}");
        let text = Welcome { name, tenant: name }.text().unwrap();
        assert!(text.contains(name), "{text}");
    }

    #[test]
    fn a_link_is_the_base_and_what_follows_it() {
        for (base, link) in [
            ("https://a.example", "https://a.example/invitations/x"),
            (
                "https://a.example/api/v1/",
                "https://a.example/api/v1/invitations/x",
            ),
        ] {
            let base: PublicUrl = base.parse().unwrap();
            assert_eq!(base.link("invitations", &"x".into()), link);
        }
        for bad in [
            "",
            "a.example",
            "ftp://a.example",
            "https://u:p@a.example",
            "https://a.example/?x=1",
        ] {
            assert!(bad.parse::<PublicUrl>().is_err(), "{bad:?}");
        }
    }
}

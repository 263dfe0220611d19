//! Mail: by SMTP, or as files in a folder for development. What a mail says stands in no log.

mod letters;
mod no;
mod smtp;
mod transport;

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;
use lettre::Message;
use lettre::message::{Mailbox, MultiPart};
use url::Url;

use crate::domain::mail::{self, Mail};
use letters::Letter;
pub(crate) use smtp::{ANSWER_WITHIN, OFFER_WITHIN};
pub use transport::MailUrl;
use transport::Transport;
pub(crate) use transport::{Offered, Unsent};

/// Most characters of a subject: names of people and tenants are longer than a line of a mail client.
const SUBJECT_CHARS: usize = 120;

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
    fn link(&self, what: &str, token: &str) -> String {
        let base = self.0.as_str().trim_end_matches('/');
        format!("{base}/{what}/{token}")
    }
}

/// Sends mail.
#[derive(Clone)]
pub(crate) struct Mailer {
    transport: Arc<Transport>,
    from: Mailbox,
    public_url: PublicUrl,
}

impl Mailer {
    pub(crate) fn new(
        url: &MailUrl,
        ca_file: Option<&Path>,
        from: &str,
        public_url: &PublicUrl,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            transport: Arc::new(Transport::new(url, ca_file)?),
            from: from
                .parse()
                .context("TENANTRY_MAIL_FROM must be like Name <a@b.example>")?,
            public_url: public_url.clone(),
        })
    }

    /// Offers a mail to whoever takes it, once. It goes when it is handed over.
    pub(crate) async fn offer(&self, mail: &Mail) -> Result<Offered, Unsent> {
        let Some(message) = self.message(mail) else {
            return Err(Unsent::Never("it can't be written".to_owned()));
        };
        self.transport.offer(message).await
    }

    /// The mail as a message. The only place where the secrets of its links are put into words.
    fn message(&self, mail: &Mail) -> Option<Message> {
        let (from, to) = (&self.from, mail.to.as_str());
        match &mail.letter {
            mail::Letter::Welcome { slug } => message(from, to, &letters::Welcome { tenant: slug }),
            mail::Letter::Invitation {
                tenant_name,
                by,
                roles,
                until,
                token,
            } => {
                let letter = letters::Invitation {
                    tenant: mail::quoted(tenant_name),
                    by: mail::shown(by),
                    roles: mail::as_roles(roles),
                    until: in_words(*until),
                    link: self.public_url.link("invitations", token),
                };
                message(from, to, &letter)
            }
            mail::Letter::PasswordReset { until, token } => {
                let letter = letters::PasswordReset {
                    until: &in_words(*until),
                    link: self.public_url.link("password-reset", token),
                };
                message(from, to, &letter)
            }
        }
    }
}

fn in_words(at: Timestamp) -> String {
    at.strftime("%-d %B %Y, %H:%M UTC").to_string()
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

    /// Names of the headers of an invitation to a tenant of this name.
    fn headers_of(tenant: &str) -> Vec<String> {
        let mail = written(&to(tenant));
        let (head, _) = mail.split_once("\r\n\r\n").unwrap();
        head.lines()
            .filter(|line| !line.starts_with(' '))
            .filter_map(|line| line.split_once(':'))
            .map(|(name, _)| name.to_owned())
            .collect()
    }

    fn to(tenant: &str) -> letters::Invitation<'_> {
        letters::Invitation {
            tenant: mail::quoted(tenant),
            by: "",
            roles: "member".to_owned(),
            until: String::new(),
            link: String::new(),
        }
    }

    #[test]
    fn a_name_adds_no_header_and_no_recipient() {
        let plain = headers_of("acme");
        for evil in [
            "acme\r\nBcc: eve@example.com",
            "acme\nBcc: eve@example.com",
            "acme\r\n\r\nBody",
            "acme\u{2028}Bcc: eve@example.com",
            "ácme\r\nBcc: eve@example.com",
        ] {
            assert_eq!(headers_of(evil), plain, "{evil:?}");
        }
    }

    #[test]
    fn a_name_is_text_in_html() {
        let name = "<img src=x onerror=alert(1)> & \"Co\"";
        let html = to(name).html().unwrap();
        assert!(!html.contains("<img"), "{html}");
        let text = to(name).text().unwrap();
        let words = "“<img src=x onerror=alert(1)> & 'Co'”";
        assert!(text.contains(words), "{text}");
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
            assert_eq!(base.link("invitations", "x"), link);
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

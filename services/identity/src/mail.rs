//! Mail: by SMTP, or as files in a folder for development. Sent after the commit; what fails is logged and nobody waits.

use std::str::FromStr;
use std::sync::Arc;

use anyhow::Context as _;
use lettre::message::Mailbox;
use lettre::{
    AsyncFileTransport, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
};
use tenantry_rpc::Tasks;
use url::Url;

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

enum Transport {
    Smtp(AsyncSmtpTransport<Tokio1Executor>),
    Files(AsyncFileTransport<Tokio1Executor>),
}

/// Sends mail.
#[derive(Clone)]
pub(crate) struct Mailer {
    transport: Arc<Transport>,
    from: Mailbox,
    tasks: Tasks,
}

impl Mailer {
    pub(crate) fn new(url: &MailUrl, from: &str, tasks: &Tasks) -> anyhow::Result<Self> {
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
            tasks: tasks.clone(),
        })
    }

    /// Tells a person that they were added to a tenant.
    pub(crate) fn welcome(&self, email: &str, name: &str, tenant: &str) {
        let body = format!(
            "Hello {name},\n\nyou were added to {tenant}. Sign in with this e-mail address.\n"
        );
        let message = email.parse().ok().and_then(|address| {
            Message::builder()
                .from(self.from.clone())
                .to(Mailbox::new(None, address))
                .subject(format!("You were added to {tenant}"))
                .body(body)
                .ok()
        });
        let Some(message) = message else {
            tracing::warn!("a welcome mail can't be written to this address");
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
                tracing::warn!(error, "a mail was not sent");
            }
        });
    }
}

impl std::fmt::Debug for Mailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mailer(..)")
    }
}

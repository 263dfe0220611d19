//! A mail server that isn't ours (PyPI `aiosmtpd`), and the mails that it took.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;

use crate::envoy::Tls;
use crate::mail::Post;
use crate::probe::Probe;
use crate::process::Command;
use crate::tools::Tool;
use crate::unit::Unit;
use crate::{paths, port};

const PROGRAM: &str = include_str!("smtp_server.py");
/// Who may send mail by a server that asks.
const USER: &str = "tenantry";

/// A server that takes mail for everyone but a few, with or without a + and more before the @: `refused@` is refused for
/// good, `busy@` for now, `grey@` for now the first time, `foreign@` because nobody may send there, and `vague@` without a
/// reason; of `hang@` it says nothing. It takes the mail to `slow@` after [`Self::go_on`], goes without a word after the one
/// to `mute@`, and says no goodbye to who sent one to `stay@`.
#[derive(Debug)]
pub struct SmtpServer {
    unit: Unit,
    address: SocketAddr,
    folder: PathBuf,
    post: Post,
}

impl SmtpServer {
    /// Starts one that takes mail from anyone, in the clear.
    ///
    /// # Errors
    /// When it isn't installed or doesn't start.
    pub async fn start() -> Result<Self> {
        Self::start_with(None).await
    }

    /// Starts one that takes mail only behind STARTTLS, from who knows the password.
    ///
    /// # Errors
    /// When it isn't installed or doesn't start.
    pub async fn start_secure(tls: &Tls, password: &str) -> Result<Self> {
        Self::start_with(Some((tls, password))).await
    }

    async fn start_with(secure: Option<(&Tls, &str)>) -> Result<Self> {
        let dir = paths::scratch("smtp")?;
        let (program, folder) = (dir.join("smtp_server.py"), dir.join("mail"));
        fs::write(&program, PROGRAM)?;
        fs::create_dir_all(&folder)?;
        let address = port::local(port::free()?);
        let mut command = Command::new(Tool::Python.find()?, dir.join("server.log"))
            .arg(program)
            .arg(address.port().to_string())
            .arg(&folder);
        if let Some((tls, password)) = secure {
            command = command.arg(&tls.certificate).arg(&tls.key);
            command = command.args([USER, password]);
        }
        let unit = Unit::new("smtp-server", command, Probe::Tcp(address));
        unit.start().await?;
        let post = Post::new(folder.clone());
        Ok(Self {
            unit,
            address,
            folder,
            post,
        })
    }

    /// Its URL, for who sends in the clear.
    #[must_use]
    pub fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// Its URL, for who sends behind STARTTLS with this password.
    #[must_use]
    pub fn secure_url(&self, password: &str) -> String {
        format!("smtp://{USER}:{password}@{}?tls=required", self.address)
    }

    /// The mails that it took.
    #[must_use]
    pub fn post(&self) -> Post {
        self.post.clone()
    }

    /// Lets it take the mails to `slow@`.
    ///
    /// # Errors
    /// When its folder can't be written.
    pub fn go_on(&self) -> Result<()> {
        Ok(fs::write(self.folder.join("go-on"), "")?)
    }

    /// Has it take mail from nobody, or from everyone again.
    ///
    /// # Errors
    /// When its folder can't be written.
    pub fn close(&self, closed: bool) -> Result<()> {
        let file = self.folder.join("closed");
        if closed {
            fs::write(file, "")?;
        } else {
            fs::remove_file(file)?;
        }
        Ok(())
    }

    /// Ends it.
    ///
    /// # Errors
    /// When it doesn't end.
    pub async fn stop(&self) -> Result<()> {
        self.unit.stop().await
    }

    /// Starts it again, where it was.
    ///
    /// # Errors
    /// When it doesn't start.
    pub async fn start_again(&self) -> Result<()> {
        self.unit.start().await
    }
}

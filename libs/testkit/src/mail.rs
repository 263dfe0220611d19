//! The mails that services wrote as files, read as a mail client would.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::wait::until;

/// Longest wait for a mail.
const WITHIN: Duration = Duration::from_secs(20);

/// A folder of mails.
#[derive(Clone, Debug)]
pub struct Post {
    folder: PathBuf,
}

/// One mail.
#[derive(Clone, Debug)]
pub struct Mail {
    /// Its headers, as they stand.
    pub head: String,
    /// Its plain text.
    pub text: String,
    /// Its HTML.
    pub html: String,
}

impl Mail {
    /// The links in the plain text.
    pub fn links(&self) -> impl Iterator<Item = &str> {
        self.text
            .split_whitespace()
            .filter(|word| word.starts_with("http://") || word.starts_with("https://"))
    }

    /// The one-time token of the first link: what stands behind its last slash.
    ///
    /// # Panics
    /// When the mail has no link.
    #[must_use]
    pub fn token(&self) -> &str {
        let link = self.links().next().expect("a mail with a link");
        link.rsplit('/').next().unwrap_or(link)
    }
}

impl Post {
    /// The mails in a folder, which needn't exist yet.
    #[must_use]
    pub const fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The mails to an address, the oldest first.
    ///
    /// # Errors
    /// When one can't be read.
    pub fn to(&self, address: &str) -> Result<Vec<Mail>> {
        let Ok(files) = fs::read_dir(&self.folder) else {
            return Ok(Vec::new());
        };
        let mut mails = Vec::new();
        for file in files {
            let path = file?.path();
            if path.extension().is_none_or(|extension| extension != "eml") {
                continue;
            }
            let written = fs::metadata(&path)?.modified()?;
            // One that is still being written has no last boundary; it is read next time.
            if let Some(mail) = read(&path)?.filter(|mail| is_to(mail, address)) {
                mails.push((written, mail));
            }
        }
        mails.sort_by_key(|(written, _)| *written);
        Ok(mails.into_iter().map(|(_, mail)| mail).collect())
    }

    /// The newest mail to an address once there are so many.
    ///
    /// # Errors
    /// When they don't come within 20 s.
    pub async fn nth(&self, address: &str, n: usize) -> Result<Mail> {
        until(&format!("mail {n} to {address}"), WITHIN, async || {
            let mut mails = self.to(address)?;
            Ok(if mails.len() >= n { mails.pop() } else { None })
        })
        .await
    }
}

fn is_to(mail: &Mail, address: &str) -> bool {
    mail.head
        .lines()
        .filter_map(|line| line.strip_prefix("To: "))
        .any(|to| to.trim_matches(['<', '>', ' ']) == address)
}

fn read(path: &Path) -> Result<Option<Mail>> {
    let whole = fs::read_to_string(path)?;
    let Some((head, body)) = whole.split_once("\r\n\r\n") else {
        return Ok(None);
    };
    let Some(boundary) = head
        .split_once("boundary=\"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(boundary, _)| format!("--{boundary}"))
    else {
        bail!("a mail that isn't in two forms:\n{head}");
    };
    if !body.trim_end().ends_with(&format!("{boundary}--")) {
        return Ok(None);
    }
    let mut mail = Mail {
        head: head.to_owned(),
        text: String::new(),
        html: String::new(),
    };
    for part in body.split(&boundary) {
        let Some((head, body)) = part.split_once("\r\n\r\n") else {
            continue;
        };
        let decoded = decode(head, body)?;
        if head.contains("text/html") {
            mail.html = decoded;
        } else if head.contains("text/plain") {
            mail.text = decoded;
        }
    }
    Ok(Some(mail))
}

fn decode(head: &str, body: &str) -> Result<String> {
    let bytes = if head.contains("quoted-printable") {
        quoted_printable::decode(body, quoted_printable::ParseMode::Robust)
            .map_err(|error| anyhow::anyhow!("quoted-printable: {error}"))?
    } else if head.contains("base64") {
        let compact: String = body.split_whitespace().collect();
        BASE64_STANDARD.decode(compact).context("base64")?
    } else {
        body.as_bytes().to_vec()
    };
    Ok(String::from_utf8(bytes)?)
}

//! Identity's own configuration.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use tenantry_runtime::config::DatabaseUrl;

use crate::mail::{MailUrl, PublicUrl};

/// What identity needs besides what every service does.
#[derive(Debug, Args)]
pub struct Config {
    /// File of the keys that sign what the gateway asserts; read again when it changes
    #[arg(long, env = "TENANTRY_ASSERTION_KEY_FILE")]
    pub assertion_key_file: PathBuf,
    /// File of the keys that sign access tokens, others than those of assertions; read again when it changes
    #[arg(long, env = "TENANTRY_TOKEN_KEY_FILE")]
    pub token_key_file: PathBuf,
    /// Replicas of registry, as http://127.0.0.1:7001,http://127.0.0.1:7002
    #[arg(
        long,
        env = "TENANTRY_REGISTRY_ADDRS",
        value_delimiter = ',',
        required = true
    )]
    pub registry_addrs: Vec<String>,
    /// Replicas of quota, as http://127.0.0.1:7301,http://127.0.0.1:7302
    #[arg(
        long,
        env = "TENANTRY_QUOTA_ADDRS",
        value_delimiter = ',',
        required = true
    )]
    pub quota_addrs: Vec<String>,
    /// `iss` of access tokens
    #[arg(long, env = "TENANTRY_ISSUER", default_value = "tenantry")]
    pub issuer: String,
    /// Domain whose subdomains name tenants, as tenants.example.com; none if absent
    #[arg(long, env = "TENANTRY_BASE_DOMAIN")]
    pub base_domain: Option<String>,
    /// Where mail goes: smtps://user:password@host, smtp://user:password@host:port?tls=required (STARTTLS), smtp://host
    /// without a password, or file:///folder; nowhere if absent
    #[arg(long, env = "TENANTRY_MAIL_URL", hide_env_values = true)]
    pub mail_url: Option<MailUrl>,
    /// File of certificates (PEM) of the authority that the mail server's certificate is from, where that is no public one
    #[arg(long, env = "TENANTRY_MAIL_CA_FILE")]
    pub mail_ca_file: Option<PathBuf>,
    /// Sender of mail
    #[arg(
        long,
        env = "TENANTRY_MAIL_FROM",
        default_value = "Tenantry <no-reply@tenantry.test>"
    )]
    pub mail_from: String,
    /// What the links of mails begin with: a web UI's address, or the gateway's with /api/v1
    #[arg(
        long,
        env = "TENANTRY_PUBLIC_URL",
        default_value = "http://localhost:8080/api/v1"
    )]
    pub public_url: PublicUrl,
    /// Let OpenID issuers speak plain HTTP and stand in private networks: for development and tests, never in production,
    /// where whoever manages a tenant's identity providers could have the fleet ask its own network
    #[arg(long, env = "TENANTRY_OIDC_ALLOW_INSECURE_ISSUERS", default_value_t = false, action = clap::ArgAction::Set)]
    pub oidc_allow_insecure_issuers: bool,
    /// How long, in milliseconds, requests are admitted by what is known while registry or the database can't be reached
    #[arg(long, env = "TENANTRY_FRESHNESS_GRACE_MS", default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(1_000..=60_000))]
    pub freshness_grace_ms: u64,
}

impl Config {
    /// How long what is known serves without news.
    #[must_use]
    pub const fn freshness_grace(&self) -> Duration {
        Duration::from_millis(self.freshness_grace_ms)
    }
}

/// Identity's own subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print a one-time token, valid for an hour, that makes the first operator
    BootstrapToken {
        /// Database, as the role identity_platform
        #[arg(long, env = "TENANTRY_PLATFORM_DATABASE_URL", hide_env_values = true)]
        platform_database_url: DatabaseUrl,
    },
}

//! What the processes of a service are told by their environment.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;

use crate::cluster::{Cluster, Role};
use crate::keys::Keys;
use crate::paths;

/// Domain whose subdomains are slugs, on this machine.
const BASE_DOMAIN: &str = "localhost.tenantry.test";

/// What every process of a service is told, apart from its own addresses.
pub(super) fn environment(
    service: &str,
    keys: &Keys,
    cluster: &Cluster,
    database: &str,
    through: Option<SocketAddr>,
) -> Result<BTreeMap<String, String>> {
    // Migrations go straight to Postgres, also where the service doesn't.
    let serving = match through {
        Some(address) => cluster.via(address)?,
        None => cluster.clone(),
    };
    let path = |path: PathBuf| path.display().to_string();
    let mut environment = BTreeMap::from(
        [
            (
                "TENANTRY_OWNER_DATABASE_URL",
                cluster.url(service, Role::Owner, database).to_string(),
            ),
            (
                "TENANTRY_APP_DATABASE_URL",
                serving.url(service, Role::App, database).to_string(),
            ),
            (
                "TENANTRY_PLATFORM_DATABASE_URL",
                serving.url(service, Role::Platform, database).to_string(),
            ),
            ("TENANTRY_TRUST_FILE", path(keys.trust_file())),
            (
                "TENANTRY_SERVICE_KEY_FILE",
                path(keys.service_ring(service)),
            ),
            ("TENANTRY_SEAL_KEY_FILE", path(keys.seal_key(service))),
            (
                "TENANTRY_PLANS_FILE",
                path(paths::repository().join("deploy/plans.json")),
            ),
            ("TENANTRY_BASE_DOMAIN", BASE_DOMAIN.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    if service == "identity" {
        environment.extend(
            [
                ("TENANTRY_ASSERTION_KEY_FILE", path(keys.assertion_ring())),
                ("TENANTRY_TOKEN_KEY_FILE", path(keys.token_ring())),
                // Providers to try sign-in with stand on this machine.
                ("TENANTRY_OIDC_ALLOW_INSECURE_ISSUERS", "true".to_owned()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
    }
    if service == "audit" {
        environment.insert("TENANTRY_LOG_KEY_FILE".to_owned(), path(keys.log_key()));
    }
    Ok(environment)
}

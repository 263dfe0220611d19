//! Looks up TXT records. Nothing is kept: what was just published counts.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;

use crate::domain::custom_domain::Look;

/// Longest wait for one server's answer, and how often each is asked.
const TIMEOUT: Duration = Duration::from_secs(2);
const ATTEMPTS: usize = 2;
/// Longest wait for a look, all servers together.
const LOOK_WITHIN: Duration = Duration::from_secs(6);
/// Most records of one name that are read.
const MAX_RECORDS: usize = 100;

/// Asks DNS servers.
#[derive(Clone)]
pub(crate) struct Resolver(TokioResolver);

impl Resolver {
    /// A resolver that asks these servers; the system's where none is given. None where the system names none either: then
    /// nothing is looked for, and no domain is shown to be anyone's.
    pub(crate) fn new(servers: &[SocketAddr]) -> anyhow::Result<Option<Self>> {
        let mut builder = if servers.is_empty() {
            match TokioResolver::builder_tokio() {
                Ok(builder) => builder,
                Err(error) => {
                    tracing::warn!(error = %error, "the system names no DNS server: set TENANTRY_DNS_SERVERS to verify custom domains");
                    return Ok(None);
                }
            }
        } else {
            let servers = servers.iter().map(name_server).collect();
            let config = ResolverConfig::from_parts(None, Vec::new(), servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.timeout = TIMEOUT;
        options.attempts = ATTEMPTS;
        options.use_hosts_file = ResolveHosts::Never;
        options.cache_size = 0;
        options.positive_max_ttl = Some(Duration::ZERO);
        options.negative_max_ttl = Some(Duration::ZERO);
        let resolver = builder.build().context("the DNS resolver can't be made")?;
        Ok(Some(Self(resolver)))
    }

    /// The TXT records of a name.
    pub(crate) async fn txt(&self, name: &str) -> Look {
        // With its final dot a name is taken as it stands, without the system's search list.
        let look = self.0.txt_lookup(format!("{name}."));
        match tokio::time::timeout(LOOK_WITHIN, look).await {
            Ok(Ok(found)) => Look::Records(
                found
                    .answers()
                    .iter()
                    .filter_map(|record| match &record.data {
                        RData::TXT(txt) => Some(txt.to_string()),
                        _ => None,
                    })
                    .take(MAX_RECORDS)
                    .collect(),
            ),
            Ok(Err(error)) if error.is_no_records_found() || error.is_nx_domain() => {
                Look::Records(Vec::new())
            }
            Ok(Err(error)) => {
                tracing::info!(dns.name = name, error = %error, "the DNS can't be asked");
                Look::Unanswered
            }
            Err(_) => Look::Unanswered,
        }
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resolver(..)")
    }
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut server.connections {
        let connection: &mut ConnectionConfig = connection;
        connection.port = address.port();
    }
    server
}

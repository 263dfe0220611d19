//! A DNS server of a test's own, authoritative for every name, whose TXT records the test sets and some of which it leaves without
//! an answer.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::proto::rr::rdata::{SOA, TXT};
use hickory_server::proto::rr::{LowerName, Name, RData, Record, RecordType, RrKey};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use tokio::net::{TcpListener, UdpSocket};

/// Time to live of each record, in seconds.
const TTL: u32 = 1;
const SERIAL: u32 = 1;
const TCP_TIMEOUT: Duration = Duration::from_secs(5);
const TCP_BUFFER_BYTES: usize = 4_096;
/// A port that is free for UDP may be taken for TCP.
const TRIED_PORTS: usize = 64;

/// The server. It ends when it is dropped.
pub struct DnsServer {
    address: SocketAddr,
    zone: Arc<InMemoryZoneHandler>,
    silent: Names,
    _server: Server<Answers>,
}

type Names = Arc<Mutex<HashSet<LowerName>>>;

/// Answers from the catalogue, and never about the silent names.
struct Answers {
    catalog: Catalog,
    silent: Names,
}

#[tonic::async_trait]
impl RequestHandler for Answers {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        response_handle: R,
    ) -> ResponseInfo {
        let silent = request.request_info().is_ok_and(|asked| {
            let silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
            silent.contains(asked.query.name())
        });
        if silent {
            return std::future::pending().await;
        }
        self.catalog
            .handle_request::<R, T>(request, response_handle)
            .await
    }
}

impl DnsServer {
    /// A server without any TXT record, on a free port of UDP and TCP.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start() -> Result<Self> {
        let zone = InMemoryZoneHandler::empty(Name::root(), ZoneType::Primary, AxfrPolicy::Deny);
        let soa = SOA::new(Name::root(), Name::root(), SERIAL, 60, 60, 60, 1);
        zone.upsert(
            Record::from_rdata(Name::root(), TTL, RData::SOA(soa)),
            SERIAL,
        )
        .await;
        let zone = Arc::new(zone);
        let mut catalog = Catalog::new();
        catalog.upsert(
            LowerName::from(Name::root()),
            vec![Arc::clone(&zone) as Arc<_>],
        );
        let (udp, tcp) = free_port().await?;
        let address = udp.local_addr()?;
        let silent = Names::default();
        let mut server = Server::new(Answers {
            catalog,
            silent: Arc::clone(&silent),
        });
        server.register_socket(udp);
        server.register_listener(tcp, TCP_TIMEOUT, TCP_BUFFER_BYTES);
        Ok(Self {
            address,
            zone,
            silent,
            _server: server,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leaves every question about this name without an answer from now on.
    ///
    /// # Errors
    /// When the name is none.
    pub fn keep_silent(&self, name: &str) -> Result<()> {
        let name = LowerName::from(Name::from_str(&format!("{name}."))?);
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        silent.insert(name);
        Ok(())
    }

    /// Makes these the TXT records of a name; none takes the name away.
    ///
    /// # Errors
    /// When the name is none.
    pub async fn set_txt(&self, name: &str, values: &[&str]) -> Result<()> {
        let name = Name::from_str(&format!("{name}."))?;
        let key = RrKey::new(LowerName::from(&name), RecordType::TXT);
        self.zone.records_mut().await.remove(&key);
        for value in values {
            let txt = RData::TXT(TXT::new(vec![(*value).to_owned()]));
            let record = Record::from_rdata(name.clone(), TTL, txt);
            self.zone.upsert(record, SERIAL).await;
        }
        Ok(())
    }
}

/// A port that is free for both.
async fn free_port() -> Result<(UdpSocket, TcpListener)> {
    for _ in 0..TRIED_PORTS {
        let udp = UdpSocket::bind("127.0.0.1:0").await?;
        if let Ok(tcp) = TcpListener::bind(udp.local_addr()?).await {
            return Ok((udp, tcp));
        }
    }
    bail!("no port of {TRIED_PORTS} is free for UDP and TCP")
}

impl std::fmt::Debug for DnsServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DnsServer")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

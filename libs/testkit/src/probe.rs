//! Questions that tell whether a started process can serve.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use sqlx::Connection as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use url::Url;

/// Longest wait for one answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// A question to a process.
#[derive(Clone, Debug)]
pub enum Probe {
    /// Does it accept a TCP connection?
    Tcp(SocketAddr),
    /// Does Envoy's admin endpoint say LIVE?
    Envoy(SocketAddr),
    /// Does grpc.health.v1 answer SERVING for the whole server?
    GrpcHealth(SocketAddr),
    /// Does Redis answer PING?
    Redis {
        /// Where it listens.
        address: SocketAddr,
        /// Its password.
        password: String,
    },
    /// Does Postgres answer `SELECT 1`?
    Postgres(Url),
}

impl Probe {
    /// Asks once.
    ///
    /// # Errors
    /// When the process isn't ready, with the reason.
    pub async fn ask(&self) -> Result<()> {
        match tokio::time::timeout(ANSWER_WITHIN, self.answer()).await {
            Ok(answer) => answer,
            Err(_) => bail!("no answer within {} s", ANSWER_WITHIN.as_secs()),
        }
    }

    async fn answer(&self) -> Result<()> {
        match self {
            Self::Tcp(address) => {
                TcpStream::connect(address).await?;
            }
            Self::Envoy(admin) => {
                let answer = converse(
                    admin,
                    "GET /ready HTTP/1.1\r\nhost: envoy\r\nconnection: close\r\n\r\n",
                )
                .await?;
                ensure!(answer.contains("LIVE"), "it answers {answer:?}");
            }
            Self::GrpcHealth(address) => {
                let channel = Endpoint::from_shared(format!("http://{address}"))?
                    .connect()
                    .await?;
                let mut client = HealthClient::new(channel);
                let answer = client
                    .check(HealthCheckRequest::default())
                    .await
                    .context("health check")?;
                let status = answer.into_inner().status();
                ensure!(
                    status == ServingStatus::Serving,
                    "its health is {}",
                    status.as_str_name()
                );
            }
            Self::Redis { address, password } => {
                let answer =
                    converse(address, &format!("AUTH {password}\r\nPING\r\nQUIT\r\n")).await?;
                ensure!(answer.contains("+PONG"), "it answers {answer:?}");
            }
            Self::Postgres(url) => {
                let mut connection = sqlx::PgConnection::connect(url.as_str()).await?;
                sqlx::query("SELECT 1").execute(&mut connection).await?;
                connection.close().await?;
            }
        }
        Ok(())
    }
}

/// Sends a text and returns all that comes back until the peer closes.
async fn converse(address: &SocketAddr, question: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(question.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

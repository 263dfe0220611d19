//! A closed load: so many requests in flight, each asked when the one before it is answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::uri::PathAndQuery;
use tenantry_testkit::fleet::Fleet;
use tenantry_testkit::keys::GatewayWord;
use tonic::client::Grpc;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::raw::Raw;

/// Connections to each server: as many as the gateway has threads.
const CONNECTIONS: usize = 2;

/// One request, ready to be sent any number of times.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// The message.
    pub body: Bytes,
    /// What comes with it.
    pub metadata: MetadataMap,
}

/// Whom requests go to.
#[derive(Clone, Debug)]
pub struct Target {
    channels: Vec<Channel>,
    path: PathAndQuery,
    /// Whether an answer is the one that was asked for; a refusal must not count as a fast answer.
    accept: fn(&[u8]) -> bool,
    /// What a service knows the gateway by.
    word: Option<GatewayWord>,
}

/// What one round came to.
#[derive(Clone, Debug)]
pub struct Round {
    /// Time of each answer.
    pub times: Vec<Duration>,
    /// How long the round took.
    pub took: Duration,
}

impl Round {
    /// Answers per second.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.times.len() as f64 / self.took.as_secs_f64()
    }
}

impl Target {
    /// Connects to a server for calls of one method.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn connect(
        address: SocketAddr,
        path: &'static str,
        accept: fn(&[u8]) -> bool,
    ) -> Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
        let mut channels = Vec::new();
        for _ in 0..CONNECTIONS {
            channels.push(endpoint.connect().await?);
        }
        Ok(Self {
            channels,
            path: PathAndQuery::from_static(path),
            accept,
            word: None,
        })
    }

    /// Connects to a fleet's first replica of a service, as its gateway does.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn of(
        fleet: &Fleet,
        service: &str,
        path: &'static str,
        accept: fn(&[u8]) -> bool,
    ) -> Result<Self> {
        let target = Self::connect(fleet.service(service, 0).address(), path, accept).await?;
        Ok(target.saying(fleet.keys().gateway_word()))
    }

    /// The same, which says this word with each request.
    #[must_use]
    pub fn saying(self, word: GatewayWord) -> Self {
        Self {
            word: Some(word),
            ..self
        }
    }

    /// The same, of which other answers are those that were asked for.
    #[must_use]
    pub fn accepting(self, accept: fn(&[u8]) -> bool) -> Self {
        Self { accept, ..self }
    }

    /// Asks once.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn once(&self, ask: &Ask) -> Result<Bytes> {
        let mut client = Grpc::new(self.channels[0].clone());
        let answer = self
            .call(&mut client, ask)
            .await
            .with_context(|| format!("{} refused", self.path))?;
        ensure!((self.accept)(&answer), "{} answers {answer:?}", self.path);
        Ok(answer)
    }

    /// Sends so many requests, the asks in turn.
    ///
    /// # Errors
    /// When one of them is refused.
    pub async fn round(
        &self,
        asks: &Arc<[Ask]>,
        in_flight: usize,
        requests: usize,
    ) -> Result<Round> {
        let began = Instant::now();
        let tasks: Vec<_> = (0..in_flight)
            .map(|first| {
                let (target, asks) = (self.clone(), Arc::clone(asks));
                tokio::spawn(async move {
                    let channel = target.channels[first % target.channels.len()].clone();
                    let mut client = Grpc::new(channel);
                    let mut times = Vec::with_capacity(requests / in_flight + 1);
                    for n in (first..requests).step_by(in_flight) {
                        let sent = Instant::now();
                        let answer = target.call(&mut client, &asks[n % asks.len()]).await?;
                        times.push(sent.elapsed());
                        if !(target.accept)(&answer) {
                            return Err(Status::internal(format!("answered {answer:?}")));
                        }
                    }
                    Ok(times)
                })
            })
            .collect();
        let mut times = Vec::with_capacity(requests);
        for task in tasks {
            times.extend(task.await??);
        }
        Ok(Round {
            times,
            took: began.elapsed(),
        })
    }

    async fn call(&self, client: &mut Grpc<Channel>, ask: &Ask) -> Result<Bytes, Status> {
        client
            .ready()
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let mut request = Request::new(ask.body.clone());
        *request.metadata_mut() = ask.metadata.clone();
        if let Some(word) = &self.word {
            let metadata = request.metadata_mut();
            metadata.insert(GatewayWord::HEADER, word.value().clone());
        }
        let answer = client.unary(request, self.path.clone(), Raw).await?;
        Ok(answer.into_inner())
    }
}

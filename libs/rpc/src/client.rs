//! Calls from one service to another: a channel to each replica, and on each call the caller's own assertion and trace.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::propagation::Injector;
use tonic::metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::assertion::{Claims, HEADER, OnBehalfOf, sign};
use crate::keys::KeyRing;
use crate::watched::Watched;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// How often an idle connection is probed, and how long for an answer: a dead peer is noticed within their sum.
const KEEPALIVE_EVERY: Duration = Duration::from_millis(500);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_millis(500);
/// How long one assertion is used before the next is signed, in seconds; well within its life.
const REUSE_SECONDS: i64 = 30;

/// A lazily connected channel to one replica, as `http://127.0.0.1:7001`.
///
/// # Errors
/// The address is none.
pub fn channel(address: &str) -> Result<Channel, tonic::transport::Error> {
    Ok(Endpoint::from_shared(address.to_owned())?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE_EVERY)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .connect_lazy())
}

/// Puts the calling service's assertion and the present trace on each call.
#[derive(Clone, Debug)]
pub struct CallAs {
    ring: Watched<KeyRing>,
    caller: &'static str,
    called: &'static str,
    on_behalf_of: Option<OnBehalfOf>,
    last: Arc<Mutex<Option<Signed>>>,
}

#[derive(Clone, Debug)]
struct Signed {
    value: MetadataValue<Ascii>,
    iat: i64,
    kid: String,
}

impl CallAs {
    /// Calls from the service `caller` to the service `called`.
    #[must_use]
    pub fn new(ring: Watched<KeyRing>, caller: &'static str, called: &'static str) -> Self {
        Self {
            ring,
            caller,
            called,
            on_behalf_of: None,
            last: Arc::default(),
        }
    }

    fn assertion(&self) -> Result<MetadataValue<Ascii>, Status> {
        let ring = self.ring.get();
        let now = tenantry_core::clock::now().as_second();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(signed) = last.as_ref()
            && signed.kid == ring.signing_kid()
            && (signed.iat..signed.iat + REUSE_SECONDS).contains(&now)
        {
            return Ok(signed.value.clone());
        }
        let claims = Claims {
            on_behalf_of: self.on_behalf_of.clone(),
            ..Claims::of_service(self.caller, self.called)
        };
        let value: MetadataValue<Ascii> = sign(&ring, &claims)
            .map_err(|_| Status::internal("the service key can't sign"))?
            .parse()
            .map_err(|_| Status::internal("an assertion is no header"))?;
        *last = Some(Signed {
            value: value.clone(),
            iat: claims.iat,
            kid: ring.signing_kid().to_owned(),
        });
        Ok(value)
    }
}

impl Interceptor for CallAs {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let assertion = self.assertion()?;
        request.metadata_mut().insert(HEADER, assertion);
        let context = tracing::Span::current().context();
        opentelemetry::global::get_text_map_propagator(|propagator| {
            propagator.inject_context(&context, &mut Metadata(request.metadata_mut()));
        });
        Ok(request)
    }
}

/// The replicas of one service, for calls that may be made twice.
#[derive(Clone, Debug)]
pub struct Replicas {
    channels: Arc<[Channel]>,
    call_as: CallAs,
    next: Arc<AtomicUsize>,
}

impl Replicas {
    /// The replicas at these addresses, as `http://127.0.0.1:7001`; connected lazily.
    ///
    /// # Errors
    /// The address that is none.
    pub fn new(addresses: &[String], call_as: CallAs) -> Result<Self, String> {
        let channels = addresses
            .iter()
            .map(|address| {
                channel(address)
                    .map_err(|_| format!("{address} must be like http://127.0.0.1:7001"))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            channels,
            call_as,
            next: Arc::default(),
        })
    }

    /// The same replicas, called on behalf of whoever asked for it.
    #[must_use]
    pub fn on_behalf_of(&self, who: OnBehalfOf) -> Self {
        let call_as = &self.call_as;
        Self {
            call_as: CallAs {
                on_behalf_of: Some(who),
                ..CallAs::new(call_as.ring.clone(), call_as.caller, call_as.called)
            },
            ..self.clone()
        }
    }

    /// A channel to each.
    #[must_use]
    pub fn channels(&self) -> &[Channel] {
        &self.channels
    }

    /// What a client of each is made from.
    pub fn each(&self) -> impl Iterator<Item = InterceptedService<Channel, CallAs>> {
        self.channels
            .iter()
            .map(|channel| InterceptedService::new(channel.clone(), self.call_as.clone()))
    }

    /// Calls one replica, and the next where it can't be reached, for at most this long in all. The call may arrive twice,
    /// so it must be one that can.
    ///
    /// # Errors
    /// What the service answered; UNAVAILABLE where no replica did, DEADLINE_EXCEEDED where none did in time.
    pub async fn call<T, F>(
        &self,
        within: Duration,
        call: impl Fn(InterceptedService<Channel, CallAs>) -> F,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let one_by_one = async {
            let mut last = Status::unavailable("the service has no replica");
            for n in 0..self.channels.len() {
                let channel = self.channels[(first + n) % self.channels.len()].clone();
                match call(InterceptedService::new(channel, self.call_as.clone())).await {
                    Err(status) if status.code() == Code::Unavailable => last = status,
                    answer => return answer,
                }
            }
            Err(last)
        };
        tokio::time::timeout(within, one_by_one)
            .await
            .unwrap_or_else(|_| Err(Status::deadline_exceeded("no replica answered in time")))
    }
}

struct Metadata<'a>(&'a mut MetadataMap);

impl Injector for Metadata<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(key), Ok(value)) = (MetadataKey::from_bytes(key.as_bytes()), value.parse()) {
            self.0.insert(key, value);
        }
    }
}

//! The stack before a service whose handlers answer, refuse, fail, or never do.

mod attempts;
mod load;
mod word;

use std::future::poll_fn;
use std::pin::Pin;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::{BoxFuture, pending};
use http_body::Body as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tenantry_core::{PrincipalKind, TenantId, UserId};
use tonic::server::NamedService;
use tonic::transport::Server;
use tonic::{Code, Status};
use uuid::Uuid;

use super::*;
use crate::assertion::{Claims, FLEET, GATEWAY, HEADER, WORD, sign};
use crate::keys::{KeyRing, Trust};
use crate::watched::Watched;

const LOGIN: &str = "/tenantry.identity.v1.AuthService/Login";
const GET: &str = "/tenantry.registry.v1.TenantService/GetTenant";

/// The gateway's word.
const SAYS: &str = "open sesame";

type UnderWay = BoxFuture<'static, Result<http::Response<Body>, Infallible>>;

/// Answers, but never those with this header.
const HANG: &str = "hang";
/// Those with this one it reads and refuses, for the reason of this word.
const REFUSE: &str = "refuse";
/// At those with this one it panics.
const PANIC: &str = "panic";

#[derive(Clone)]
struct Handlers;

impl NamedService for Handlers {
    const NAME: &'static str = "tenantry.registry.v1.TenantService";
}

impl Service<http::Request<Body>> for Handlers {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = UnderWay;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.headers().contains_key(HANG) {
            return Box::pin(pending());
        }
        Box::pin(async {
            assert!(!request.headers().contains_key(PANIC), "a fault");
            let refusal = request.headers().get(REFUSE).map(refusal);
            let mut body = request.into_body();
            while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                frame.unwrap();
            }
            Ok(match refusal {
                Some(refusal) => status(refusal).into_http(),
                None => http::Response::new(Body::default()),
            })
        })
    }
}

fn refusal(word: &http::HeaderValue) -> Refusal {
    let mut reasons = Reason::ALL.iter();
    let reason = reasons.find(|reason| *word == reason.word()).unwrap();
    Refusal::new(*reason, "No.")
}

/// A stack that trusts a gateway and one service.
struct Fleet {
    gateway: KeyRing,
    identity: KeyRing,
    stack: Stack,
}

impl Fleet {
    fn new() -> Self {
        let ring = |kid| KeyRing::parse(&KeyRing::generate(kid)).unwrap();
        let (gateway, identity) = (ring("gateway"), ring("identity"));
        let trust = json!({"keys": [
            {"kid": "gateway", "public": gateway.public()[0].x, "issuer": GATEWAY},
            {"kid": "identity", "public": identity.public()[0].x, "issuer": "service:identity",
             "methods": ["/tenantry.internal."]},
        ], "gateway_words": [{"sha256": URL_SAFE_NO_PAD.encode(Sha256::digest(SAYS))}]});
        let trust = Trust::parse(&trust.to_string()).unwrap();
        let verifier = Verifier::new(Watched::fixed(trust), "registry");
        Self {
            gateway,
            identity,
            stack: Stack::new("registry", verifier),
        }
    }

    /// What the gateway says of someone who acts in this tenant.
    fn acts_in(&self, tenant: TenantId) -> String {
        self.acts(UserId::new().uuid(), tenant)
    }

    fn acts(&self, sub: Uuid, tenant: TenantId) -> String {
        self.says(&Claims {
            sub,
            tenant: Some(tenant),
            ..person()
        })
    }

    fn says(&self, claims: &Claims) -> String {
        sign(&self.gateway, claims).unwrap()
    }

    fn service(&self) -> String {
        sign(&self.identity, &Claims::of_service("identity", "registry")).unwrap()
    }

    async fn ask(&self, request: http::Request<Body>) -> Option<Status> {
        let answer = self.stack.layer(Handlers).call(request).await;
        Status::from_header_map(answer.unwrap().headers())
    }

    async fn is_answered(&self, path: &str, assertion: &str) -> bool {
        self.ask(request(path, assertion)).await.is_none()
    }

    /// Requests that are under way until they are dropped.
    fn hanging(&self, assertion: &str, count: usize) -> Vec<UnderWay> {
        (0..count)
            .map(|_| self.hang(request(GET, assertion)))
            .collect()
    }

    fn hang(&self, mut request: http::Request<Body>) -> UnderWay {
        request.headers_mut().insert(HANG, "1".parse().unwrap());
        let mut under_way = self.stack.layer(Handlers).call(request);
        let mut now = Context::from_waker(std::task::Waker::noop());
        assert!(under_way.as_mut().poll(&mut now).is_pending());
        under_way
    }
}

/// What the gateway says of someone who names no tenant.
fn person() -> Claims {
    Claims {
        iss: GATEWAY.to_owned(),
        aud: FLEET.to_owned(),
        kind: PrincipalKind::User,
        sub: UserId::new().uuid(),
        no_tenant: "none".to_owned(),
        ..Claims::of_service("", "")
    }
}

fn request(path: &str, assertion: &str) -> http::Request<Body> {
    let request = http::Request::post(path).header(WORD, SAYS);
    let request = request.header(HEADER, assertion);
    request.body(Body::empty()).unwrap()
}

/// A request of a stranger at this address.
fn stranger(path: &str, ip: &str) -> http::Request<Body> {
    let request = http::Request::post(path).header(WORD, SAYS);
    let request = request.header("x-envoy-external-address", ip);
    request.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn who_sets_a_deadline_is_told_in_our_words_that_it_is_over() {
    let fleet = Fleet::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder()
        .layer(fleet.stack.clone())
        .add_service(Handlers)
        .serve_with_incoming(tonic::transport::server::TcpIncoming::from(listener));
    let client = async {
        let channel = crate::client::channel(&format!("http://{address}")).unwrap();
        let mut grpc = tonic::client::Grpc::new(channel);
        let mut request = tonic::Request::new(());
        let metadata = request.metadata_mut();
        metadata.insert(WORD, SAYS.parse().unwrap());
        metadata.insert(HEADER, fleet.acts_in(TenantId::new()).parse().unwrap());
        metadata.insert(HANG, "1".parse().unwrap());
        request.set_timeout(Duration::from_millis(500));
        grpc.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        grpc.unary(request, GET.parse().unwrap(), codec).await
    };
    let told = tokio::select! {
        answer = client => answer.unwrap_err(),
        served = server => panic!("{served:?}"),
    };
    let refusal = crate::status::refusal(&told);
    assert_eq!(
        refusal.map(|refusal| refusal.reason),
        Some(Reason::DeadlineExceeded),
        "{told:?}"
    );
}

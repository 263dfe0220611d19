//! The stack before a service whose handlers answer, or never do.

use futures::future::{BoxFuture, pending};
use serde_json::json;
use tenantry_core::{Permissions, PrincipalKind, TenantId, UserId};
use tonic::server::NamedService;
use tonic::transport::Server;
use tonic::{Code, Status};
use uuid::Uuid;

use super::load::{
    GLANCES, MOST, MOST_OF_NETWORK, MOST_OF_ONE, MOST_OF_SITE, MOST_OF_STRANGERS, MOST_QUESTIONS,
    REFRESH,
};
use super::*;
use crate::assertion::{Claims, FLEET, GATEWAY, HEADER, sign};
use crate::keys::{KeyRing, Trust};
use crate::watched::Watched;

const LOGIN: &str = "/tenantry.identity.v1.AuthService/Login";
const GET: &str = "/tenantry.registry.v1.TenantService/GetTenant";
const LOOKUP: &str = "/tenantry.internal.registry.v1.TenantFeedService/LookupTenant";
const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";
const HEALTH: &str = "/grpc.health.v1.Health/Check";

type UnderWay = BoxFuture<'static, Result<http::Response<Body>, Infallible>>;

/// Answers, but for requests with this header.
const HANG: &str = "hang";

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
        Box::pin(async { Ok(http::Response::new(Body::default())) })
    }
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
        ]});
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
        let claims = Claims {
            iss: GATEWAY.to_owned(),
            aud: FLEET.to_owned(),
            kind: PrincipalKind::User,
            sub,
            tenant: Some(tenant),
            perms: Permissions::NONE,
            ..Claims::of_service("", "")
        };
        sign(&self.gateway, &claims).unwrap()
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

fn request(path: &str, assertion: &str) -> http::Request<Body> {
    let request = http::Request::post(path).header(HEADER, assertion);
    request.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn one_tenants_burst_takes_its_share_and_others_are_answered() {
    let fleet = Fleet::new();
    let (a, b) = (
        fleet.acts_in(TenantId::new()),
        fleet.acts_in(TenantId::new()),
    );
    let burst = fleet.hanging(&a, MOST_OF_ONE);
    let refused = fleet.ask(request(GET, &a)).await.unwrap();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(refused.metadata().get("retry-after").unwrap(), "1");
    assert!(fleet.is_answered(GET, &b).await, "another tenant");
    drop(burst);
    assert!(
        fleet.is_answered(GET, &a).await,
        "its places are free again"
    );
}

#[tokio::test]
async fn what_the_fleet_itself_asks_is_answered_when_callers_have_taken_all_places() {
    let fleet = Fleet::new();
    let mut bursts = Vec::new();
    for _ in 0..MOST / MOST_OF_ONE {
        bursts.extend(fleet.hanging(&fleet.acts_in(TenantId::new()), MOST_OF_ONE));
    }
    let other = fleet.acts_in(TenantId::new());
    let refused = fleet.ask(request(GET, &other)).await.unwrap();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    for exempt in [CHECK, HEALTH] {
        assert!(fleet.is_answered(exempt, "").await, "{exempt}");
    }
    assert!(fleet.is_answered(LOOKUP, &fleet.service()).await);
    assert!(
        !fleet.is_answered(LOOKUP, &other).await,
        "a caller's assertion opens no way around the bound"
    );
    drop(bursts);
    assert!(fleet.is_answered(GET, &other).await);
}

#[tokio::test]
async fn one_principal_takes_its_share_in_whichever_tenants() {
    let fleet = Fleet::new();
    let one = UserId::new().uuid();
    let burst: Vec<_> = (0..MOST_OF_ONE)
        .map(|_| fleet.hang(request(GET, &fleet.acts(one, TenantId::new()))))
        .collect();
    let refused = fleet.ask(request(GET, &fleet.acts(one, TenantId::new())));
    assert_eq!(refused.await.unwrap().code(), Code::ResourceExhausted);
    let other = fleet.acts_in(TenantId::new());
    assert!(fleet.is_answered(GET, &other).await, "someone else");
    drop(burst);
}

/// A request of a stranger at this address.
fn stranger(path: &str, ip: &str) -> http::Request<Body> {
    let request = http::Request::post(path).header("x-envoy-external-address", ip);
    request.body(Body::empty()).unwrap()
}

/// Sign-ins under way: as many as there may be, of so many networks at so many sites.
fn sign_ins_that_hang(fleet: &Fleet) -> Vec<UnderWay> {
    let all = (0..MOST_OF_STRANGERS).map(|n| {
        let (site, network) = (n / MOST_OF_NETWORK, n % MOST_OF_NETWORK);
        fleet.hang(stranger(
            LOGIN,
            &format!("2001:db8:f{site:x}:{network:x}::1"),
        ))
    });
    all.collect()
}

#[tokio::test]
async fn strangers_take_no_place_of_those_who_signed_in_and_a_network_its_share() {
    let fleet = Fleet::new();
    let burst: Vec<_> = (0..MOST_OF_NETWORK)
        .map(|n| fleet.hang(stranger(LOGIN, &format!("2001:db8::{n:x}"))))
        .collect();
    let refused = fleet.ask(stranger(LOGIN, "2001:db8::ffff")).await.unwrap();
    assert_eq!(refused.code(), Code::ResourceExhausted, "one network");
    assert!(
        fleet.ask(stranger(LOGIN, "2001:db8:1::1")).await.is_none(),
        "another"
    );
    drop(burst);
    let all = sign_ins_that_hang(&fleet);
    let refused = fleet.ask(stranger(LOGIN, "2001:db8:1::1")).await.unwrap();
    assert_eq!(refused.code(), Code::ResourceExhausted, "all networks");
    let customer = fleet.acts_in(TenantId::new());
    assert!(fleet.is_answered(GET, &customer).await, "who signed in");
    drop(all);
}

#[tokio::test]
async fn whoever_has_many_networks_takes_the_share_of_a_site() {
    let fleet = Fleet::new();
    let burst: Vec<_> = (0..MOST_OF_SITE)
        .map(|n| fleet.hang(stranger(LOGIN, &format!("2001:db8:5:{n:x}::1"))))
        .collect();
    let refused = fleet.ask(stranger(LOGIN, "2001:db8:5:ffff::1")).await;
    assert_eq!(refused.unwrap().code(), Code::ResourceExhausted);
    assert!(fleet.ask(stranger(LOGIN, "2001:db8:6::1")).await.is_none());
    drop(burst);
}

#[tokio::test]
async fn sessions_go_on_and_the_fleets_state_is_told_when_sign_ins_take_all_their_places() {
    let fleet = Fleet::new();
    let sign_ins = sign_ins_that_hang(&fleet);
    for path in [REFRESH].iter().chain(GLANCES) {
        let answered = fleet.ask(stranger(path, "2001:db8:1::1")).await.is_none();
        assert!(answered, "{path}");
    }
    drop(sign_ins);
}

#[tokio::test]
async fn health_is_answered_when_the_gateway_asks_as_much_as_it_may() {
    let fleet = Fleet::new();
    let questions: Vec<_> = (0..MOST_QUESTIONS)
        .map(|_| fleet.hang(request(CHECK, "")))
        .collect();
    assert!(!fleet.is_answered(CHECK, "").await);
    assert!(fleet.is_answered(HEALTH, "").await);
    assert!(fleet.is_answered(LOOKUP, &fleet.service()).await);
    drop(questions);
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

//! Identity as its neighbours see it: replicas of it on one database, asked as Envoy asks and called as Envoy calls.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use tenantry_core::TenantId;
use tenantry_core::seal::Sealer;
use tenantry_identity::{Config, Identity};
use tenantry_proto::envoy::service::auth::v3::attribute_context::{HttpRequest, Request as Asked};
use tenantry_proto::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use tenantry_proto::envoy::service::auth::v3::check_response::HttpResponse;
use tenantry_proto::envoy::service::auth::v3::{
    AttributeContext, CheckRequest, CheckResponse, DeniedHttpResponse,
};
use tenantry_proto::identity::v1 as wire;
use tenantry_proto::identity::v1::api_key_service_client::ApiKeyServiceClient;
use tenantry_proto::identity::v1::auth_service_client::AuthServiceClient;
use tenantry_proto::identity::v1::member_service_client::MemberServiceClient;
use tenantry_proto::identity::v1::operator_service_client::OperatorServiceClient;
use tenantry_rpc::assertion::{HEADER, Verifier};
use tenantry_rpc::client::channel;
use tenantry_rpc::keys::{KeyRing, Trust};
use tenantry_rpc::watched::Watched;
use tenantry_rpc::{Stack, Tasks};
use tenantry_runtime::{Runtime, Service as _};
use tenantry_store::{PoolConfig, Store};
use tenantry_testkit::cluster::Role;
use tenantry_testkit::database::TestDatabase;
use tenantry_testkit::keys::Keys;
use tenantry_testkit::paths;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::registry::Registry;

/// Password of every user of the tests.
pub(crate) const PASSWORD: &str = "correct horse battery";
/// Address of the first operator.
pub(crate) const OPERATOR: &str = "root@example.com";
/// What is promised to hold everywhere within.
pub(crate) const SOON: Duration = Duration::from_secs(1);
const GRACE_MS: u64 = 1_500;

pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) registry: Registry,
    replicas: Vec<Channel>,
    tasks: Tasks,
    /// Bearer token of the first operator.
    pub(crate) operator: String,
}

/// A caller: its headers, as Envoy passes them on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Who {
    headers: Vec<(String, String)>,
    replica: usize,
}

impl Who {
    pub(crate) fn bearer(token: &str) -> Self {
        Self::default().with("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn key(secret: &str) -> Self {
        Self::default().with("x-api-key", secret)
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// In this tenant.
    pub(crate) fn at(self, tenant: TenantId) -> Self {
        self.with("x-tenant-id", &tenant.to_string())
    }

    /// Asked of another replica.
    pub(crate) fn of_replica(mut self, replica: usize) -> Self {
        self.replica = replica;
        self
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.registry.stop();
        self.tasks.cancel();
    }
}

impl World {
    /// Two replicas, and an operator.
    pub(crate) async fn start() -> Self {
        let mut world = Self::without_operator().await;
        let token = world.bootstrap_token().await;
        world.bootstrap(&token, OPERATOR).await.unwrap();
        world.operator = world.login(OPERATOR).await.access_token;
        world
    }

    /// Two replicas.
    pub(crate) async fn without_operator() -> Self {
        let database = TestDatabase::migrated("identity", async |database| {
            let owner = database.url("identity", Role::Owner).as_str().parse()?;
            tenantry_store::migrate::run(&owner, Identity::migrations()).await
        })
        .await
        .unwrap();
        let registry = Registry::start().await;
        let keys = Keys::create(&paths::scratch("identity").unwrap()).unwrap();
        let tasks = Tasks::new();
        let mut replicas = Vec::new();
        for _ in 0..2 {
            replicas.push(replica(&database, &registry, &keys, &tasks).await);
        }
        Self {
            database,
            registry,
            replicas,
            tasks,
            operator: String::new(),
        }
    }

    /// What the subcommand prints.
    pub(crate) async fn bootstrap_token(&self) -> String {
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_identity"))
            .arg("bootstrap-token")
            .env(
                "TENANTRY_PLATFORM_DATABASE_URL",
                self.database.url("identity", Role::Platform).as_str(),
            )
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub(crate) async fn bootstrap(
        &self,
        token: &str,
        email: &str,
    ) -> Result<wire::Operator, Status> {
        let request = wire::BootstrapRequest {
            token: token.to_owned(),
            email: email.to_owned(),
            password: PASSWORD.to_owned(),
            ..Default::default()
        };
        Ok(self.operators().bootstrap(request).await?.into_inner())
    }

    pub(crate) async fn login(&self, email: &str) -> wire::TokenPair {
        let request = wire::LoginRequest {
            email: email.to_owned(),
            password: PASSWORD.to_owned(),
            ..Default::default()
        };
        self.auth().login(request).await.unwrap().into_inner()
    }

    /// A member with this role, signed in.
    pub(crate) async fn member(&self, tenant: TenantId, email: &str, role: &str) -> Who {
        let request = wire::CreateMemberRequest {
            email: email.to_owned(),
            password: PASSWORD.to_owned(),
            roles: vec![role.to_owned()],
            ..Default::default()
        };
        let operator = Who::bearer(&self.operator).at(tenant);
        let request = self.ask(&operator, request).await.unwrap();
        self.members().create_member(request).await.unwrap();
        Who::bearer(&self.login(email).await.access_token)
    }

    /// A tenant that both replicas know of.
    pub(crate) async fn tenant(&self, slug: &str, parent: Option<TenantId>) -> TenantId {
        let id = self.registry.add(slug, parent);
        for replica in 0..self.replicas.len() {
            let who = Who::bearer(&self.operator).at(id).of_replica(replica);
            until(async || {
                self.assertion(&who)
                    .await
                    .is_ok_and(|a| a.tenant == Some(id))
            })
            .await;
        }
        id
    }

    pub(crate) fn auth(&self) -> AuthServiceClient<Channel> {
        AuthServiceClient::new(self.replicas[0].clone())
    }

    pub(crate) fn members(&self) -> MemberServiceClient<Channel> {
        MemberServiceClient::new(self.replicas[0].clone())
    }

    pub(crate) fn api_keys(&self) -> ApiKeyServiceClient<Channel> {
        ApiKeyServiceClient::new(self.replicas[0].clone())
    }

    pub(crate) fn operators(&self) -> OperatorServiceClient<Channel> {
        OperatorServiceClient::new(self.replicas[0].clone())
    }

    /// A request as the gateway lets it through: with the assertion that identity gave for it.
    pub(crate) async fn ask<T>(&self, who: &Who, message: T) -> Result<Request<T>, Status> {
        let assertion = self.assertion(who).await?;
        let mut request = Request::new(message);
        request
            .metadata_mut()
            .insert(HEADER, assertion.token.parse().unwrap());
        Ok(request)
    }

    /// What identity answers Envoy.
    pub(crate) async fn check(&self, who: &Who) -> CheckResponse {
        let mut headers: HashMap<String, String> = who.headers.iter().cloned().collect();
        headers
            .entry(":path".to_owned())
            .or_insert("/tenantry.identity.v1.AuthService/GetCaller".to_owned());
        headers.insert("content-type".to_owned(), "application/grpc".to_owned());
        let http = HttpRequest {
            headers,
            ..Default::default()
        };
        let attributes = AttributeContext {
            request: Some(Asked {
                http: Some(http),
                ..Default::default()
            }),
            ..Default::default()
        };
        let mut client = AuthorizationClient::new(self.replicas[who.replica].clone());
        let attributes = Some(attributes);
        client
            .check(CheckRequest { attributes })
            .await
            .unwrap()
            .into_inner()
    }

    /// The assertion that identity gives, or its refusal.
    pub(crate) async fn assertion(&self, who: &Who) -> Result<Assertion, Status> {
        match self.check(who).await.http_response.unwrap() {
            HttpResponse::OkResponse(ok) => {
                let header = ok.headers.into_iter().find_map(|h| h.header).unwrap();
                assert_eq!(header.key, HEADER);
                Ok(Assertion::read(header.value))
            }
            HttpResponse::DeniedResponse(denied) => Err(denial(denied)),
            HttpResponse::ErrorResponse(error) => panic!("{error:?}"),
        }
    }

    pub(crate) async fn reason(&self, who: &Who) -> String {
        match self.assertion(who).await {
            Ok(_) => String::new(),
            Err(status) => reason(&status),
        }
    }
}

async fn replica(
    database: &TestDatabase,
    registry: &Registry,
    keys: &Keys,
    tasks: &Tasks,
) -> Channel {
    let options = |role| database.url("identity", role).as_str().parse().unwrap();
    let pools = PoolConfig {
        app: options(Role::App),
        platform: options(Role::Platform),
        app_connections: 8,
        platform_connections: 4,
        statement_cache: 100,
    };
    let seal_key = std::fs::read_to_string(keys.seal_key("identity")).unwrap();
    let trust = Watched::open(keys.trust_file(), tasks, Trust::parse).unwrap();
    let runtime = Runtime {
        store: Store::new(pools, Sealer::parse(&seal_key).unwrap()),
        tasks: tasks.clone(),
        trust: trust.clone(),
        service_keys: Watched::open(keys.service_ring("identity"), tasks, KeyRing::parse).unwrap(),
    };
    let config = Config {
        assertion_key_file: keys.assertion_ring(),
        token_key_file: keys.token_ring(),
        registry_addrs: vec![registry.address.clone()],
        issuer: "tenantry".to_owned(),
        base_domain: Some("tenants.example".to_owned()),
        mail_url: None,
        mail_from: String::new(),
        freshness_grace_ms: GRACE_MS,
    };
    let routes = Identity::start(config, &runtime).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = tonic::transport::Server::builder()
        .layer(Stack::new("identity", Verifier::new(trust, "identity")))
        .add_routes(routes)
        .serve_with_incoming_shutdown(
            TcpListenerStream::new(listener),
            tasks.token().cancelled_owned(),
        );
    tasks.spawn("identity", async move { server.await.unwrap() });
    channel(&address).unwrap()
}

/// What an assertion says, as a service would read it.
#[derive(Clone, Debug)]
pub(crate) struct Assertion {
    pub(crate) token: String,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) no_tenant: String,
    pub(crate) permissions: tenantry_core::Permissions,
}

impl Assertion {
    fn read(token: String) -> Self {
        let payload = token.split('.').nth(1).unwrap();
        let payload = URL_SAFE_NO_PAD.decode(payload).unwrap();
        let claims: tenantry_rpc::assertion::Claims = serde_json::from_slice(&payload).unwrap();
        Self {
            token,
            tenant: claims.tenant,
            no_tenant: claims.no_tenant,
            permissions: claims.perms,
        }
    }
}

/// A denial as gRPC callers see it.
fn denial(denied: DeniedHttpResponse) -> Status {
    let headers: HashMap<String, String> = denied
        .headers
        .into_iter()
        .filter_map(|option| option.header)
        .map(|header| (header.key, header.value))
        .collect();
    let code: i32 = headers["grpc-status"].parse().unwrap();
    let details = STANDARD_NO_PAD
        .decode(&headers["grpc-status-details-bin"])
        .unwrap();
    Status::with_details(code.into(), headers["grpc-message"].clone(), details.into())
}

/// `ErrorInfo.reason` of a status.
pub(crate) fn reason(status: &Status) -> String {
    use prost::Message as _;
    use tenantry_proto::google::rpc;
    let whole = rpc::Status::decode(status.details()).unwrap();
    let info = whole
        .details
        .iter()
        .find(|any| any.type_url.ends_with("ErrorInfo"));
    rpc::ErrorInfo::decode(&*info.unwrap().value)
        .unwrap()
        .reason
}

/// Waits until it holds, at most [`SOON`].
pub(crate) async fn until(holds: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < SOON, "not within {SOON:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

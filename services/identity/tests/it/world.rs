//! Identity as its neighbours see it: replicas of it on one database, asked as Envoy asks and called as Envoy calls.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tenantry_core::TenantId;
use tenantry_identity::Identity;
use tenantry_proto::envoy::service::auth::v3::attribute_context::{HttpRequest, Request as Asked};
use tenantry_proto::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use tenantry_proto::envoy::service::auth::v3::check_response::HttpResponse;
use tenantry_proto::envoy::service::auth::v3::{AttributeContext, CheckRequest, CheckResponse};
use tenantry_proto::identity::v1 as wire;
use tenantry_proto::identity::v1::api_key_service_client::ApiKeyServiceClient;
use tenantry_proto::identity::v1::auth_service_client::AuthServiceClient;
use tenantry_proto::identity::v1::external_sign_in_service_client::ExternalSignInServiceClient;
use tenantry_proto::identity::v1::identity_provider_service_client::IdentityProviderServiceClient;
use tenantry_proto::identity::v1::invitation_service_client::InvitationServiceClient;
use tenantry_proto::identity::v1::member_role_service_client::MemberRoleServiceClient;
use tenantry_proto::identity::v1::member_service_client::MemberServiceClient;
use tenantry_proto::identity::v1::operator_service_client::OperatorServiceClient;
use tenantry_proto::identity::v1::organization_service_client::OrganizationServiceClient;
use tenantry_proto::identity::v1::password_service_client::PasswordServiceClient;
use tenantry_proto::identity::v1::permission_service_client::PermissionServiceClient;
use tenantry_proto::identity::v1::role_service_client::RoleServiceClient;
use tenantry_proto::identity::v1::service_account_service_client::ServiceAccountServiceClient;
use tenantry_proto::identity::v1::session_service_client::SessionServiceClient;
use tenantry_proto::internal::data::v1::tenant_data_service_client::TenantDataServiceClient;
use tenantry_proto::internal::identity::v1 as internal;
use tenantry_rpc::Tasks;
use tenantry_rpc::assertion::{Claims, HEADER, sign};
use tenantry_rpc::client::channel;
use tenantry_rpc::keys::KeyRing;
use tenantry_runtime::{Service as _, StoredAttempts};
use tenantry_testkit::cluster::Role;
use tenantry_testkit::database::TestDatabase;
use tenantry_testkit::keys::{GatewayWord, Keys};
use tenantry_testkit::mail::Post;
use tenantry_testkit::pgbouncer::PgBouncer;
use tenantry_testkit::quota_double::QuotaDouble;
use tenantry_testkit::{paths, wait};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::caller::{Assertion, Who, denial, reason};
use crate::registry::Registry;
use crate::replica::{MailTo, replica};

/// Password of every user of the tests.
pub(crate) const PASSWORD: &str = "correct horse battery";
/// Address of the first operator.
pub(crate) const OPERATOR: &str = "root@example.com";
/// What is promised to hold everywhere within.
pub(crate) const SOON: Duration = Duration::from_secs(1);
/// Longest time until a request that hashes a password comes to a lock.
const WAITING: Duration = Duration::from_secs(20);

/// Longest time that a replica takes to end.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) registry: Registry,
    pub(crate) quota: QuotaDouble,
    pooler: Option<PgBouncer>,
    keys: Keys,
    /// Where the mails come as files.
    mail_folder: PathBuf,
    mail_to: MailTo,
    replicas: Vec<Channel>,
    /// Addresses of the replicas.
    addresses: Vec<String>,
    /// Where they count what they refuse.
    pub(crate) attempts: Vec<StoredAttempts>,
    tasks: Tasks,
    /// The mails that both replicas sent.
    pub(crate) post: Post,
    /// Bearer token of the first operator.
    pub(crate) operator: String,
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
        Self::without_operator().await.with_operator().await
    }

    /// The same, behind a PgBouncer in transaction mode that has one server connection for each role.
    pub(crate) async fn start_pooled() -> Self {
        let cluster = tenantry_testkit::database::shared_cluster().await.unwrap();
        let pooler = PgBouncer::start(cluster, 1).await.unwrap();
        Self::replicas(Some(pooler)).await.with_operator().await
    }

    /// The same, with replicas that send mail there.
    pub(crate) async fn start_mailing(to: MailTo, post: Post) -> Self {
        let mut world = Self::replicas(None).await;
        (world.mail_to, world.post) = (to, post);
        world.restart().await;
        world.with_operator().await
    }

    async fn with_operator(self) -> Self {
        let mut world = self;
        let token = world.bootstrap_token().await;
        world.bootstrap(&token, OPERATOR).await.unwrap();
        world.operator = world.login(OPERATOR).await.access_token;
        world
    }

    /// Two replicas.
    pub(crate) async fn without_operator() -> Self {
        Self::replicas(None).await
    }

    async fn replicas(pooler: Option<PgBouncer>) -> Self {
        let database = TestDatabase::migrated("identity", async |database| {
            let owner = database.url("identity", Role::Owner).as_str().parse()?;
            tenantry_store::migrate::run(&owner, Identity::migrations()).await
        })
        .await
        .unwrap();
        let registry = Registry::start().await;
        let quota = QuotaDouble::start().await.unwrap();
        let folder = paths::scratch("identity").unwrap();
        let keys = Keys::create(&folder).unwrap();
        let mail = folder.join("mail");
        let mut world = Self {
            database,
            registry,
            quota,
            pooler,
            keys,
            replicas: Vec::new(),
            addresses: Vec::new(),
            attempts: Vec::new(),
            tasks: Tasks::new(),
            post: Post::new(mail.clone()),
            mail_to: MailTo {
                url: format!("file://{}", mail.display()),
                ca_file: None,
            },
            mail_folder: mail,
            operator: String::new(),
        };
        world.restart().await;
        world
    }

    /// Where the mails come as files.
    pub(crate) fn mail_folder(&self) -> &Path {
        &self.mail_folder
    }

    /// Ends both replicas.
    pub(crate) async fn end(&mut self) {
        self.tasks.end(ENDS_WITHIN).await;
    }

    /// Ends both replicas, as a deployment would, and starts two others.
    pub(crate) async fn restart(&mut self) {
        self.end().await;
        self.tasks = Tasks::new();
        self.replicas.clear();
        self.addresses.clear();
        self.attempts.clear();
        for _ in 0..2 {
            let pooler = self.pooler.as_ref();
            let (database, keys) = (&self.database, &self.keys);
            let called = (&self.registry, &self.quota);
            let started = replica(database, pooler, called, keys, &self.mail_to, &self.tasks);
            let (address, attempts) = started.await;
            self.replicas.push(channel(&address).unwrap());
            self.addresses.push(address);
            self.attempts.push(attempts);
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
        self.tenant_of(slug, parent, &[]).await
    }

    /// The same, with verified domains: its people make users of addresses in them.
    pub(crate) async fn tenant_of(
        &self,
        slug: &str,
        parent: Option<TenantId>,
        domains: &[&str],
    ) -> TenantId {
        let id = self.registry.add(slug, parent, domains);
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

    /// Waits until a transaction of this database waits for another's lock.
    pub(crate) async fn someone_waits(&self) {
        let url = self.database.superuser_url();
        let mut connection = PgConnection::connect(url.as_str()).await.unwrap();
        let waiting = "SELECT EXISTS (SELECT FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock')";
        wait::until("transaction that waits", WAITING, async || {
            let waits: bool = sqlx::query_scalar(waiting)
                .fetch_one(&mut connection)
                .await?;
            Ok(waits.then_some(()))
        })
        .await
        .unwrap();
    }

    pub(crate) fn auth(&self) -> AuthServiceClient<Channel> {
        AuthServiceClient::new(self.replicas[0].clone())
    }

    /// A replica, as those reach it who send their requests to this host.
    pub(crate) fn at_host(&self, host: &str) -> Channel {
        let endpoint = Endpoint::from_shared(self.addresses[0].clone()).unwrap();
        let origin = format!("http://{host}").parse().unwrap();
        endpoint.origin(origin).connect_lazy()
    }

    /// The same of another replica.
    pub(crate) fn auth_of(&self, replica: usize) -> AuthServiceClient<Channel> {
        AuthServiceClient::new(self.replicas[replica].clone())
    }

    /// A replica, for any client.
    pub(crate) fn channel(&self, replica: usize) -> Channel {
        self.replicas[replica].clone()
    }

    pub(crate) fn organizations(&self, replica: usize) -> OrganizationServiceClient<Channel> {
        OrganizationServiceClient::new(self.replicas[replica].clone())
    }

    pub(crate) fn passwords(&self) -> PasswordServiceClient<Channel> {
        PasswordServiceClient::new(self.replicas[0].clone())
    }

    pub(crate) fn sessions(&self) -> SessionServiceClient<Channel> {
        SessionServiceClient::new(self.replicas[0].clone())
    }

    /// Past every wall: to see what is stored, and to move its time.
    pub(crate) async fn superuser(&self) -> PgConnection {
        PgConnection::connect(self.database.superuser_url().as_str())
            .await
            .unwrap()
    }

    pub(crate) fn members(&self) -> MemberServiceClient<Channel> {
        MemberServiceClient::new(self.replicas[0].clone())
    }

    pub(crate) fn invitations(&self, replica: usize) -> InvitationServiceClient<Channel> {
        InvitationServiceClient::new(self.replicas[replica].clone())
    }

    pub(crate) fn api_keys(&self) -> ApiKeyServiceClient<Channel> {
        ApiKeyServiceClient::new(self.replicas[0].clone())
    }

    pub(crate) fn service_accounts(&self) -> ServiceAccountServiceClient<Channel> {
        ServiceAccountServiceClient::new(self.replicas[0].clone())
    }

    pub(crate) fn identity_providers(&self) -> IdentityProviderServiceClient<Channel> {
        IdentityProviderServiceClient::new(self.replicas[0].clone())
    }

    /// External sign-in, as one replica serves it.
    pub(crate) fn external(&self, replica: usize) -> ExternalSignInServiceClient<Channel> {
        ExternalSignInServiceClient::new(self.replicas[replica].clone())
    }

    pub(crate) fn operators(&self) -> OperatorServiceClient<Channel> {
        self.operators_of(0)
    }

    pub(crate) fn operators_of(&self, replica: usize) -> OperatorServiceClient<Channel> {
        OperatorServiceClient::new(self.replicas[replica].clone())
    }

    pub(crate) fn roles(&self) -> RoleServiceClient<Channel> {
        RoleServiceClient::new(self.replicas[0].clone())
    }

    pub(crate) fn member_roles(&self) -> MemberRoleServiceClient<Channel> {
        self.member_roles_of(0)
    }

    pub(crate) fn member_roles_of(&self, replica: usize) -> MemberRoleServiceClient<Channel> {
        MemberRoleServiceClient::new(self.replicas[replica].clone())
    }

    pub(crate) fn permissions(&self) -> PermissionServiceClient<Channel> {
        PermissionServiceClient::new(self.replicas[0].clone())
    }

    pub(crate) fn internal_permissions(
        &self,
    ) -> internal::permission_service_client::PermissionServiceClient<Channel> {
        internal::permission_service_client::PermissionServiceClient::new(self.replicas[0].clone())
    }

    /// The secret of a new key that holds what its maker gives where nothing is asked.
    pub(crate) async fn key(&self, maker: &Who) -> String {
        let request = wire::CreateApiKeyRequest {
            name: "ci".to_owned(),
            ..Default::default()
        };
        let ask = self.ask(maker, request).await.unwrap();
        let made = self.api_keys().create_api_key(ask).await.unwrap();
        made.into_inner().secret
    }

    /// Id of the caller.
    pub(crate) async fn id_of(&self, who: &Who) -> String {
        let ask = self.ask(who, wire::GetCallerRequest::default()).await;
        let caller = self.auth().get_caller(ask.unwrap()).await.unwrap();
        caller.into_inner().id
    }

    /// A request of another service of the fleet.
    pub(crate) fn ask_as_service<T>(&self, service: &str, message: T) -> Request<T> {
        let ring = std::fs::read_to_string(self.keys.service_ring(service)).unwrap();
        let claims = Claims::of_service(service, "identity");
        let assertion = sign(&KeyRing::parse(&ring).unwrap(), &claims).unwrap();
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert(HEADER, assertion.parse().unwrap());
        request
    }

    pub(crate) fn tenant_data(&self) -> TenantDataServiceClient<Channel> {
        TenantDataServiceClient::new(self.replicas[0].clone())
    }

    pub(crate) fn revocations(
        &self,
    ) -> internal::revocation_feed_service_client::RevocationFeedServiceClient<Channel> {
        internal::revocation_feed_service_client::RevocationFeedServiceClient::new(
            self.replicas[0].clone(),
        )
    }

    /// A request as registry makes it.
    pub(crate) fn as_registry<T>(&self, message: T) -> Request<T> {
        self.ask_as_service("registry", message)
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
        self.try_check(who).await.unwrap()
    }

    /// What identity answers whoever asks as Envoy does, with the gateway's word unless another is among the headers.
    pub(crate) async fn try_check(&self, who: &Who) -> Result<CheckResponse, Status> {
        let mut headers: HashMap<String, String> = who.headers.iter().cloned().collect();
        headers
            .entry(":path".to_owned())
            .or_insert("/tenantry.identity.v1.AuthService/GetCaller".to_owned());
        headers.insert("content-type".to_owned(), "application/grpc".to_owned());
        let word = self.keys.gateway_word();
        let word = word.value().to_str().unwrap().to_owned();
        headers
            .entry(GatewayWord::HEADER.to_owned())
            .or_insert(word);
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
        let answer = client.check(CheckRequest { attributes }).await?;
        Ok(answer.into_inner())
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

/// Waits until it holds, at most [`SOON`].
pub(crate) async fn until(holds: impl AsyncFn() -> bool) {
    let held = wait::until("such state", SOON, async || Ok(holds().await.then_some(())));
    held.await.unwrap();
}

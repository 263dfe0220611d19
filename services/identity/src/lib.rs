//! Identity: who may act. Users and their sessions, members, API keys, operators, and the gateway's question about every
//! request.

mod app;
mod authz;
mod config;
mod convert;
mod domain;
mod error;
mod guesses;
mod links;
mod mail;
mod oidc;
mod passwords;
mod per_network;
mod principals;
mod revocations;
mod service;
mod starts;
mod store;
mod tokens;
mod uses;

use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::Migrator;
use tenantry_proto::DESCRIPTOR_SET;
use tenantry_proto::envoy::service::auth::v3::authorization_server::AuthorizationServer;
use tenantry_proto::identity::v1::api_key_service_server::ApiKeyServiceServer;
use tenantry_proto::identity::v1::auth_service_server::AuthServiceServer;
use tenantry_proto::identity::v1::external_sign_in_service_server::ExternalSignInServiceServer;
use tenantry_proto::identity::v1::identity_provider_service_server::IdentityProviderServiceServer;
use tenantry_proto::identity::v1::invitation_service_server::InvitationServiceServer;
use tenantry_proto::identity::v1::member_role_service_server::MemberRoleServiceServer;
use tenantry_proto::identity::v1::member_service_server::MemberServiceServer;
use tenantry_proto::identity::v1::operator_service_server::OperatorServiceServer;
use tenantry_proto::identity::v1::organization_service_server::OrganizationServiceServer;
use tenantry_proto::identity::v1::password_service_server::PasswordServiceServer;
use tenantry_proto::identity::v1::permission_service_server::PermissionServiceServer;
use tenantry_proto::identity::v1::readiness_service_server::ReadinessServiceServer;
use tenantry_proto::identity::v1::role_service_server::RoleServiceServer;
use tenantry_proto::identity::v1::service_account_service_server::ServiceAccountServiceServer;
use tenantry_proto::identity::v1::session_service_server::SessionServiceServer;
use tenantry_proto::internal::identity::v1 as internal;
use tenantry_proto::internal::identity::v1::revocation_feed_service_server::RevocationFeedServiceServer;
use tenantry_proto::internal::identity::v1::seat_service_server::SeatServiceServer;
use tenantry_rpc::client::Replicas;
use tenantry_rpc::keys::KeyRing;
use tenantry_rpc::places::Places;
use tenantry_rpc::tenants::{Follower, Lookup, Tenants, View};
use tenantry_rpc::watched::Watched;
use tenantry_runtime::{Runtime, Service};
use tenantry_store::feed::Tail;
use tonic::service::Routes;

pub use config::{Command, Config};
pub use mail::{MailUrl, PublicUrl};
use service::at_host::AtHost;
pub use store::tenant_data::TENANT_TABLES;

/// Longest wait at the start for a first view of all tenants, and how often it is asked for.
const FIRST_VIEW_WITHIN: Duration = Duration::from_secs(10);
const FIRST_VIEW_ASK_EVERY: Duration = Duration::from_millis(10);

/// The identity service.
#[derive(Debug)]
pub struct Identity;

impl Service for Identity {
    const NAME: &'static str = "identity";
    const ABOUT: &'static str =
        "Tenantry's identity: users, members, API keys and the gateway's authorisation";
    type Config = Config;
    type Command = Command;

    fn migrations() -> Migrator {
        sqlx::migrate!()
    }

    async fn start(config: Config, runtime: &Runtime) -> anyhow::Result<Routes> {
        let keys = |path| {
            Watched::open(path, &runtime.tasks, KeyRing::parse).map_err(|why| anyhow::anyhow!(why))
        };
        let assertion_keys = keys(config.assertion_key_file.clone())?;
        let token_keys = keys(config.token_key_file.clone())?;
        let registry = runtime.replicas(Self::NAME, "registry", &config.registry_addrs)?;
        let quota = runtime.replicas(Self::NAME, "quota", &config.quota_addrs)?;
        let grace = config.freshness_grace();
        let mail = match &config.mail_url {
            Some(url) => Some(mail::Mailer::new(
                url,
                config.mail_ca_file.as_deref(),
                &config.mail_from,
                &config.public_url,
            )?),
            None => None,
        };
        let (tail, fill) = Tail::new(runtime.store.clone(), runtime.tasks.token());
        runtime.tasks.keep("feed", fill);
        let revocations =
            revocations::Feed::new(runtime.store.clone(), tail.clone(), runtime.tasks.clone());
        let (links, links_asked) = links::queue();
        let (seats, unused_seats) = app::Seats::new();
        let app = Arc::new(app::App {
            store: runtime.store.clone(),
            tenants: follow_tenants(&registry, &config, runtime),
            principals: principals::Principals::start(
                runtime.store.clone(),
                tail,
                grace,
                &runtime.tasks,
            ),
            uses: uses::Uses::start(runtime.store.clone(), &runtime.tasks),
            attempts: runtime.attempts.clone(),
            refusals: Places::new(authz::REFUSALS, authz::REFUSALS_OF_ONE),
            tokens: tokens::Tokens::new(token_keys, &config.issuer),
            starts: starts::Starts::new(),
            provider_ended: tokio::sync::Notify::new(),
            oidc: oidc::Oidc::new(oidc::Fetch::new(config.oidc_allow_insecure_issuers)?),
            passwords: passwords::Passwords::new()?,
            guesses: guesses::Guesses::new(),
            mail,
            mail_written: tokio::sync::Notify::new(),
            links,
            registry,
            audit: runtime.audit.clone(),
            quota,
            seats,
            look_ups: Places::new(authz::LOOK_UPS, authz::LOOK_UPS_OF_ONE),
            base_domain: config.base_domain.unwrap_or_default().to_ascii_lowercase(),
        });
        runtime
            .tasks
            .keep("sweep", Arc::clone(&app).sweep(runtime.tasks.clone()));
        runtime.tasks.keep(
            "ends of providers",
            Arc::clone(&app).end_provider_sessions(runtime.tasks.clone()),
        );
        runtime.tasks.keep(
            "sign-ups",
            Arc::clone(&app).end_sign_ups(runtime.tasks.clone()),
        );
        runtime
            .tasks
            .keep("mails", Arc::clone(&app).send_mails(runtime.tasks.clone()));
        runtime
            .tasks
            .keep("places", Arc::clone(&app).tell_seats(runtime.tasks.clone()));
        runtime.tasks.keep(
            "unused places",
            Arc::clone(&app).void_seats(unused_seats, runtime.tasks.clone()),
        );
        runtime.tasks.keep(
            "links",
            Arc::clone(&app).make_links(links_asked, runtime.tasks.clone()),
        );
        first_view(&app.tenants).await;
        let assertions = authz::Assertions::new(assertion_keys);
        let authorizer =
            authz::Authorizer::new(Arc::clone(&app), assertions, runtime.trust.clone());
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTOR_SET);
        let reflection_alpha = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTOR_SET);
        Ok(Routes::new(AuthorizationServer::new(authorizer))
            .add_service(AtHost::new(
                AuthServiceServer::new(service::auth::Auth(Arc::clone(&app))),
                &app,
            ))
            .add_service(MemberServiceServer::new(service::members::Members(
                Arc::clone(&app),
            )))
            .add_service(InvitationServiceServer::new(
                service::invitations::Invitations(Arc::clone(&app)),
            ))
            .add_service(ApiKeyServiceServer::new(service::api_keys::ApiKeys(
                Arc::clone(&app),
            )))
            .add_service(AtHost::new(
                ExternalSignInServiceServer::new(service::external_sign_in::ExternalSignIns(
                    Arc::clone(&app),
                )),
                &app,
            ))
            .add_service(IdentityProviderServiceServer::new(
                service::identity_providers::IdentityProviders(Arc::clone(&app)),
            ))
            .add_service(OperatorServiceServer::new(service::operators::Operators(
                Arc::clone(&app),
            )))
            .add_service(AtHost::new(
                OrganizationServiceServer::new(service::organizations::Organizations(Arc::clone(
                    &app,
                ))),
                &app,
            ))
            .add_service(MemberRoleServiceServer::new(
                service::member_roles::MemberRoles(Arc::clone(&app)),
            ))
            .add_service(RoleServiceServer::new(service::roles::Roles(Arc::clone(
                &app,
            ))))
            .add_service(ServiceAccountServiceServer::new(
                service::service_accounts::ServiceAccounts(Arc::clone(&app)),
            ))
            .add_service(RevocationFeedServiceServer::new(
                service::revocation_feed::RevocationFeed(revocations),
            ))
            .add_service(PermissionServiceServer::new(
                service::permissions::Permissions(Arc::clone(&app)),
            ))
            .add_service(
                internal::permission_service_server::PermissionServiceServer::new(
                    service::permissions::Permissions(Arc::clone(&app)),
                ),
            )
            .add_service(PasswordServiceServer::new(service::passwords::Passwords(
                Arc::clone(&app),
            )))
            .add_service(SeatServiceServer::new(service::seats::Seats(Arc::clone(
                &app,
            ))))
            .add_service(SessionServiceServer::new(service::sessions::Sessions(
                Arc::clone(&app),
            )))
            .add_service(tenantry_rpc::tenant_data::server(Arc::clone(&app)))
            .add_service(ReadinessServiceServer::new(service::readiness::Ready(app)))
            .add_service(reflection.build_v1()?)
            .add_service(reflection_alpha.build_v1alpha()?))
    }

    async fn command(command: Command) -> anyhow::Result<()> {
        match command {
            Command::BootstrapToken {
                platform_database_url,
            } => app::bootstrap::print_token(&platform_database_url.0).await,
        }
    }
}

/// Waits for a first view of all tenants, so that the gateway sends no request before one can be admitted; not for ever,
/// because readiness and sign-in also work without registry.
async fn first_view(tenants: &Tenants) {
    let complete = async {
        while !tenants.is_ready() {
            tokio::time::sleep(FIRST_VIEW_ASK_EVERY).await;
        }
    };
    if tokio::time::timeout(FIRST_VIEW_WITHIN, complete)
        .await
        .is_err()
    {
        tracing::warn!(
            "registry is out of reach: no request is admitted to a tenant before it answers"
        );
    }
}

/// Identity's view of all tenants, and the task that keeps it.
fn follow_tenants(registry: &Replicas, config: &Config, runtime: &Runtime) -> Tenants {
    let view = Arc::new(View::default());
    let follower = Follower::new(registry, Arc::clone(&view));
    runtime
        .tasks
        .keep("tenants", follower.run(runtime.tasks.token()));
    Tenants::new(view, Lookup::new(registry), config.freshness_grace())
}

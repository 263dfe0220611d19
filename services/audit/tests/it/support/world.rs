//! A database of the test's own, and replicas of audit on it.

use std::ops::Deref;

use sqlx::{Connection as _, PgConnection};
use tenantry_audit::Audit;
use tenantry_core::event::{Event, Outcome, Resource};
use tenantry_core::{EventId, Origin, Principal, PrincipalKind, TenantId, UserId, clock};
use tenantry_proto::internal::audit::v1::{
    AppendRequest, AppendResponse, SourceEvent, SourceStream,
};
use tenantry_rpc::convert::timestamp;
use tenantry_runtime::Service as _;
use tenantry_testkit::cluster::Role;
use tenantry_testkit::database::TestDatabase;
use tenantry_testkit::keys::Keys;
use tenantry_testkit::paths;

use super::{Registry, Replica, service};

/// A database, the keys of a fleet, and a first replica, which it stands for.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) keys: Keys,
    pub(crate) registry: Registry,
    first: Replica,
}

impl Deref for World {
    type Target = Replica;

    fn deref(&self) -> &Replica {
        &self.first
    }
}

impl World {
    pub(crate) async fn start() -> Self {
        let database = TestDatabase::migrated("audit", async |template: &TestDatabase| {
            let owner = template.url("audit", Role::Owner).as_str().parse()?;
            tenantry_store::migrate::run(&owner, Audit::migrations()).await
        })
        .await
        .unwrap();
        let keys = Keys::create(&paths::scratch("keys").unwrap()).unwrap();
        let registry = Registry::start().await;
        let first = Replica::start(&database, &keys, &registry).await;
        Self {
            database,
            keys,
            registry,
            first,
        }
    }

    /// One more replica on the same database.
    pub(crate) async fn replica(&self) -> Replica {
        Replica::start(&self.database, &self.keys, &self.registry).await
    }

    /// A connection that sees every row.
    pub(crate) async fn owner(&self) -> PgConnection {
        let url = self.database.url("audit", Role::Owner);
        PgConnection::connect(url.as_str()).await.unwrap()
    }

    /// A connection that sees what Postgres counts.
    pub(crate) async fn superuser(&self) -> PgConnection {
        let url = self.database.superuser_url();
        PgConnection::connect(url.as_str()).await.unwrap()
    }

    /// Appends one stream as a service of this name.
    pub(crate) async fn appended(&self, source: &str, stream: SourceStream) -> AppendResponse {
        let request = AppendRequest {
            streams: vec![stream],
            request_id: String::new(),
        };
        let mut append = self.append(&service(source));
        append.append(request).await.unwrap().into_inner()
    }

    /// Appends so many events of a tenant, the first of this number.
    pub(crate) async fn fill(&self, tenant: TenantId, first_n: i64, count: usize) {
        let events: Vec<_> = (0..count).map(|_| event("tenant.updated")).collect();
        let answer = self.appended("registry", stream(tenant, first_n, &events));
        assert_eq!(answer.await.outcomes[0].outcome, "taken");
    }
}

/// An event as a service would write it.
pub(crate) fn event(action: &str) -> Event {
    Event {
        id: EventId::new(),
        action: action.to_owned(),
        resource: Resource {
            kind: "tenant".to_owned(),
            id: TenantId::new().uuid(),
        },
        actor: Principal {
            kind: PrincipalKind::User,
            id: UserId::new().uuid(),
            name: "grace@example.com".to_owned(),
        },
        before: serde_json::json!({"name": "Old", "version": 1}),
        after: serde_json::json!({"name": "New", "version": 2}),
        origin: Origin {
            ip: "192.0.2.7".to_owned(),
            user_agent: "curl/8".to_owned(),
            request_id: "request-1".to_owned(),
            trace_id: "0af7651916cd43dd8448eb211c80319c".to_owned(),
        },
        credential: String::new(),
        outcome: Outcome::Success,
        reason: String::new(),
    }
}

/// These events as one tenant's stream, the first of this number.
pub(crate) fn stream(tenant: TenantId, first_n: i64, events: &[Event]) -> SourceStream {
    let events = events.iter().map(|event| SourceEvent {
        at: Some(timestamp(clock::now())),
        event: serde_json::to_vec(event).unwrap(),
    });
    SourceStream {
        tenant_id: tenant.to_string(),
        first_n,
        events: events.collect(),
    }
}

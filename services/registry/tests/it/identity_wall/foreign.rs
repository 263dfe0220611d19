//! A foreign tenant and an absent one: the same bytes, from every RPC that can name a tenant.

use tenantry_core::{Permission, Permissions, PrincipalKind};
use tenantry_proto::registry::v1::{
    ArchiveTenantRequest, ChangePlanRequest, CreateDomainRequest, CreateTenantRequest,
    DeleteDomainRequest, DeleteTenantRequest, GetDomainRequest, GetTenantRequest,
    ListDomainsRequest, ListLegalHoldsRequest, ListTenantsRequest, MoveTenantRequest,
    PlaceLegalHoldRequest, PreviewPlanChangeRequest, PurgeTenantRequest, ReleaseLegalHoldRequest,
    ResumeTenantRequest, SuspendTenantRequest, Tenant, UndeleteTenantRequest, UpdateTenantRequest,
    VerifyDomainRequest, WatchTenantsRequest,
};
use tenantry_rpc::assertion::Claims;
use tonic::{Response, Status};

use super::methods;
use crate::support::{World, member, named, operator};

/// RPCs in which no caller from the gateway can name a tenant.
const NAME_NO_TENANT: &[&str] = &[
    "CancelTenantImport",
    "CreatePlan",
    "CreateProject",
    "CreateSignedUpTenant",
    "FollowTenants",
    "GetPlan",
    "GetProject",
    "GetTenantImport",
    "ImportTenants",
    "ListPlanVersions",
    "ListPlans",
    "ListProjects",
    "ListTenantImportRows",
    "ListTenantImports",
    "LookupTenant",
    "UpdatePlan",
    "UpdateProject",
];

/// What a caller learns.
type Learned = Result<(), (tonic::Code, String, Vec<u8>)>;

/// Calls an RPC, naming this tenant wherever a tenant can be named.
async fn attempt(world: &World, claims: &Claims, rpc: &str, name: &str) -> Learned {
    fn learned<T>(outcome: Result<Response<T>, Status>) -> Learned {
        outcome.map(drop).map_err(|status| {
            let (code, message) = (status.code(), status.message().to_owned());
            (code, message, status.details().to_vec())
        })
    }
    let mut client = world.tenants(claims);
    let tenant = name.to_owned();
    match rpc {
        "CreateTenant" => {
            let request = CreateTenantRequest {
                parent_id: tenant,
                ..named("Child")
            };
            learned(client.create_tenant(request).await)
        }
        "GetTenant" => learned(client.get_tenant(GetTenantRequest { tenant }).await),
        "ListTenants" => {
            let request = ListTenantsRequest {
                parent: tenant,
                ..Default::default()
            };
            learned(client.list_tenants(request).await)
        }
        "UpdateTenant" => {
            let name = Some("Taken over".to_owned());
            let request = UpdateTenantRequest {
                tenant,
                name,
                ..Default::default()
            };
            learned(client.update_tenant(request).await)
        }
        "SuspendTenant" => {
            let request = SuspendTenantRequest {
                tenant,
                ..Default::default()
            };
            learned(client.suspend_tenant(request).await)
        }
        "ResumeTenant" => {
            let request = ResumeTenantRequest {
                tenant,
                ..Default::default()
            };
            learned(client.resume_tenant(request).await)
        }
        "DeleteTenant" => {
            let request = DeleteTenantRequest {
                tenant,
                ..Default::default()
            };
            learned(client.delete_tenant(request).await)
        }
        "UndeleteTenant" => {
            let request = UndeleteTenantRequest {
                tenant,
                ..Default::default()
            };
            learned(client.undelete_tenant(request).await)
        }
        "ChangePlan" => {
            let request = ChangePlanRequest {
                tenant,
                plan: "pro".to_owned(),
                ..Default::default()
            };
            let mut client = world.subscriptions(claims);
            learned(client.change_plan(request).await)
        }
        "PreviewPlanChange" => {
            let plan = "pro".to_owned();
            let request = PreviewPlanChangeRequest { tenant, plan };
            let mut client = world.subscriptions(claims);
            learned(client.preview_plan_change(request).await)
        }
        "ArchiveTenant" => {
            let request = ArchiveTenantRequest {
                tenant,
                ..Default::default()
            };
            learned(client.archive_tenant(request).await)
        }
        "MoveTenant" => {
            let request = MoveTenantRequest {
                tenant,
                ..Default::default()
            };
            learned(client.move_tenant(request).await)
        }
        "PurgeTenant" => {
            let request = PurgeTenantRequest {
                tenant,
                force: true,
                ..Default::default()
            };
            learned(client.purge_tenant(request).await)
        }
        "PlaceLegalHold" => {
            let request = PlaceLegalHoldRequest {
                tenant,
                holder: "Tax office".to_owned(),
                ..Default::default()
            };
            learned(world.legal_holds(claims).place_legal_hold(request).await)
        }
        "ListLegalHolds" => {
            let request = ListLegalHoldsRequest { tenant };
            learned(world.legal_holds(claims).list_legal_holds(request).await)
        }
        "ReleaseLegalHold" => {
            let request = ReleaseLegalHoldRequest {
                tenant,
                ..Default::default()
            };
            learned(world.legal_holds(claims).release_legal_hold(request).await)
        }
        "ListDomains" => {
            let mut client = world.domains(claims);
            learned(client.list_domains(ListDomainsRequest { tenant }).await)
        }
        "CreateDomain" => {
            let domain = "taken.example.com".to_owned();
            let request = CreateDomainRequest {
                tenant,
                domain,
                ..Default::default()
            };
            learned(world.domains(claims).create_domain(request).await)
        }
        "GetDomain" => {
            let domain = "app.example.com".to_owned();
            let request = GetDomainRequest { tenant, domain };
            learned(world.domains(claims).get_domain(request).await)
        }
        "VerifyDomain" => {
            let domain = "app.example.com".to_owned();
            let request = VerifyDomainRequest {
                tenant,
                domain,
                ..Default::default()
            };
            learned(world.domains(claims).verify_domain(request).await)
        }
        "DeleteDomain" => {
            let domain = "app.example.com".to_owned();
            let request = DeleteDomainRequest {
                tenant,
                domain,
                ..Default::default()
            };
            learned(world.domains(claims).delete_domain(request).await)
        }
        "WatchTenants" => {
            let request = WatchTenantsRequest {
                resume_token: token_of(world, name).await,
            };
            learned(client.watch_tenants(request).await)
        }
        other => panic!("{other} is neither in this matrix nor in NAME_NO_TENANT"),
    }
}

/// A resume token of a tenant's own watch; for a tenant that isn't there, one that no stream gave.
async fn token_of(world: &World, name: &str) -> String {
    let get = GetTenantRequest {
        tenant: name.to_owned(),
    };
    let Ok(tenant) = world.tenants(&operator()).get_tenant(get).await else {
        return "A".repeat(64);
    };
    let own = member(tenant.get_ref(), &[Permission::TenantsRead]);
    let request = WatchTenantsRequest::default();
    let Ok(stream) = world.tenants(&own).watch_tenants(request).await else {
        return "A".repeat(64);
    };
    let mut stream = stream.into_inner();
    loop {
        let response = stream.message().await.unwrap().unwrap();
        if !response.resume_token.is_empty() {
            return response.resume_token;
        }
    }
}

async fn state(world: &World, tenant: &Tenant) -> Vec<serde_json::Value> {
    let mut owner = world.owner().await;
    let mut rows = Vec::new();
    for table in [
        "tenants",
        "slugs",
        "outbox",
        "outbox_counter",
        "request_record",
    ] {
        // An event's place in the feed is given some time after its commit.
        let read = format!(
            "SELECT to_jsonb(t) - 'feed_n' FROM {table} AS t WHERE tenant_id = $1::uuid ORDER BY 1"
        );
        let found: Vec<serde_json::Value> = sqlx::query_scalar(sqlx::AssertSqlSafe(read))
            .bind(&tenant.id)
            .fetch_all(&mut owner)
            .await
            .unwrap();
        rows.extend(found);
    }
    rows
}

/// All that can be held in a tenant.
fn everything() -> Vec<Permission> {
    let all = Permissions::of(Permission::ALL);
    all.without(Permissions::PLATFORM).iter().collect()
}

/// People and programs of a tenant, from those who may nearly everything to those who may nothing.
fn callers(own: &Tenant) -> Vec<Claims> {
    let everything = &everything();
    let mut program = member(own, everything);
    program.kind = PrincipalKind::ApiKey;
    program.below = Permissions::NONE;
    vec![
        member(own, everything),
        program,
        member(own, &[Permission::TenantsRead]),
        member(own, &[]),
        // What identity says of a tenant that it couldn't choose.
        Claims {
            tenant: None,
            slug: String::new(),
            no_tenant: "not_found".to_owned(),
            ..member(own, everything)
        },
        Claims {
            tenant: None,
            slug: String::new(),
            no_tenant: "none".to_owned(),
            ..member(own, everything)
        },
    ]
}

#[tokio::test]
async fn a_foreign_tenant_and_an_absent_one_are_the_same_bytes_in_every_rpc() {
    let world = World::start().await;
    let [own, active, suspended, deleted] = [
        world.tenant("Own").await,
        world.tenant("Foreign active").await,
        world.tenant("Foreign suspended").await,
        world.tenant("Foreign deleted").await,
    ];
    let above = operator();
    attempt(&world, &above, "SuspendTenant", &suspended.id)
        .await
        .unwrap();
    attempt(&world, &above, "DeleteTenant", &deleted.id)
        .await
        .unwrap();
    let absent = "01900000-0000-7000-8000-000000000007";
    let mut before = Vec::new();
    for tenant in [&active, &suspended, &deleted] {
        before.extend(state(&world, tenant).await);
    }
    for method in methods() {
        if NAME_NO_TENANT.contains(&method.name) {
            continue;
        }
        for caller in callers(&own) {
            let nothing_there = attempt(&world, &caller, method.name, absent).await;
            let what = format!("{} by {caller:?}: {nothing_there:?}", method.name);
            assert!(nothing_there.is_err(), "{what}");
            let by_slug = attempt(&world, &caller, method.name, "nobody").await;
            assert_eq!(by_slug, nothing_there, "by slug: {what}");
            for foreign in [&active, &suspended, &deleted] {
                for name in [&foreign.id, &foreign.slug] {
                    let learned = attempt(&world, &caller, method.name, name).await;
                    assert_eq!(learned, nothing_there, "{name}: {what}");
                }
            }
        }
    }
    let mut after = Vec::new();
    for tenant in [&active, &suspended, &deleted] {
        after.extend(state(&world, tenant).await);
    }
    assert_eq!(before, after, "and nothing of theirs has changed");
}

#[tokio::test]
async fn the_same_requests_succeed_for_those_whose_tenant_it_is() {
    let world = World::start().await;
    let mut own = world.tenant("Own").await;
    own.slug.clear();
    let mut people = member(&own, &everything());
    people.slug = "own".to_owned();
    for rpc in [
        "GetTenant",
        "ListTenants",
        "CreateTenant",
        "UpdateTenant",
        "WatchTenants",
        "ChangePlan",
        "PreviewPlanChange",
        "SuspendTenant",
        "ResumeTenant",
    ] {
        for name in [own.id.as_str(), "own"] {
            let outcome = attempt(&world, &people, rpc, name).await;
            assert_eq!(outcome, Ok(()), "{rpc} {name}");
        }
    }
    let leaf = world.tenant("Leaf").await;
    let people = member(&leaf, &everything());
    for rpc in ["DeleteTenant", "UndeleteTenant"] {
        assert_eq!(
            attempt(&world, &people, rpc, &leaf.id).await,
            Ok(()),
            "{rpc}"
        );
    }
}

#[tokio::test]
async fn foreign_ids_in_filters_and_parents_tell_nothing() {
    let world = World::start().await;
    let own = world.tenant("Own").await;
    let foreign = world.tenant("Foreign").await;
    let foreign_child = world.child("Foreign child", &foreign).await;
    let caller = member(&own, &[Permission::TenantsRead, Permission::TenantsCreate]);
    for filter in [
        format!("id = {}", foreign.id),
        format!("parent_id = {}", foreign.id),
        format!("slug = {}", foreign.slug),
        format!("id = {} OR slug = {}", foreign_child.id, foreign.slug),
        format!("NOT id = {}", own.id),
    ] {
        let request = ListTenantsRequest {
            filter: filter.clone(),
            show_deleted: true,
            ..Default::default()
        };
        let listed = world
            .tenants(&caller)
            .list_tenants(request)
            .await
            .unwrap()
            .into_inner();
        assert!(
            listed.tenants.is_empty() && listed.next_page_token.is_empty(),
            "{filter}"
        );
    }
}

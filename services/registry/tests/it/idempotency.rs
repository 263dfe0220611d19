//! A request id is one request, however often and however concurrently it comes; and where callers compete, one wins.

use futures::future::join_all;
use sqlx::PgConnection;
use tenantry_core::{Permission, Reason};
use tenantry_proto::registry::v1::{
    CreateProjectRequest, CreateTenantRequest, DeleteTenantRequest, SuspendTenantRequest, Tenant,
    UpdateTenantRequest,
};
use tenantry_rpc::assertion::Claims;
use tonic::{Request, Response, Status};

use crate::support::{World, fields, member, named, operator, rename, why};

/// How many ask at once.
const AT_ONCE: usize = 64;

/// The tenants, changes that happened and request records of the whole database.
async fn rows(conn: &mut PgConnection) -> (i64, i64, i64) {
    sqlx::query_as(
        "SELECT (SELECT count(*) FROM tenants), (SELECT count(*) FROM outbox WHERE NOT event ? 'outcome'),
                (SELECT count(*) FROM request_record)",
    )
    .fetch_one(conn)
    .await
    .unwrap()
}

async fn create_at_once(
    world: &World,
    claims: &Claims,
    request: &CreateTenantRequest,
) -> Vec<Result<Response<Tenant>, Status>> {
    join_all((0..AT_ONCE).map(|_| {
        let (mut tenants, request) = (world.tenants(claims), request.clone());
        async move { tenants.create_tenant(request).await }
    }))
    .await
}

fn with_id(request: CreateTenantRequest, id: &str) -> CreateTenantRequest {
    CreateTenantRequest {
        request_id: id.to_owned(),
        ..request
    }
}

fn with_header<T>(message: T, key: &str) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("idempotency-key", key.parse().unwrap());
    request
}

#[tokio::test]
async fn sixty_four_creates_with_one_request_id_make_one_tenant_and_equal_answers() {
    let world = World::start().await;
    let answers = create_at_once(&world, &operator(), &with_id(named("Acme"), "once")).await;
    let answers: Vec<Tenant> = answers
        .into_iter()
        .map(|answer| answer.unwrap().into_inner())
        .collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(rows(&mut world.owner().await).await, (1, 1, 1));
}

#[tokio::test]
async fn a_child_s_creates_with_one_request_id_make_one_child() {
    let world = World::start().await;
    let parent = world.tenant("Parent").await;
    let manager = member(&parent, &[Permission::TenantsCreate]);
    let child = CreateTenantRequest {
        parent_id: parent.id.clone(),
        ..with_id(named("Child"), "once")
    };
    let answers = create_at_once(&world, &manager, &child).await;
    let ids: Vec<String> = answers
        .into_iter()
        .map(|answer| answer.unwrap().into_inner().id)
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]));
    assert_eq!(rows(&mut world.owner().await).await, (2, 2, 1));
}

#[tokio::test]
async fn an_answer_given_again_is_the_first_one_also_after_later_changes() {
    let world = World::start().await;
    let caller = operator();
    let mut tenants = world.tenants(&caller);
    let request = with_id(named("Acme"), "once");
    let first = tenants
        .create_tenant(request.clone())
        .await
        .unwrap()
        .into_inner();
    tenants
        .update_tenant(rename(&first, "Later"))
        .await
        .unwrap();
    let again = tenants.create_tenant(request).await.unwrap().into_inner();
    assert_eq!(again, first);
}

#[tokio::test]
async fn a_request_id_with_another_body_is_refused() {
    let world = World::start().await;
    let mut tenants = world.tenants(&operator());
    tenants
        .create_tenant(with_id(named("Acme"), "once"))
        .await
        .unwrap();
    let other = tenants.create_tenant(with_id(named("Other"), "once")).await;
    assert_eq!(why(other), Reason::RequestIdReused);
    assert_eq!(rows(&mut world.owner().await).await, (1, 1, 1));
}

#[tokio::test]
async fn sixty_four_bodies_under_one_request_id_leave_one_tenant_and_refusals() {
    let world = World::start().await;
    let caller = operator();
    let answers = join_all((0..AT_ONCE).map(|n| {
        let mut tenants = world.tenants(&caller);
        let request = with_id(named(&format!("Acme {n}")), "once");
        async move { tenants.create_tenant(request).await }
    }))
    .await;
    let refused = answers.into_iter().filter(Result::is_err).map(why);
    assert_eq!(
        refused.filter(|r| *r == Reason::RequestIdReused).count(),
        AT_ONCE - 1
    );
    assert_eq!(rows(&mut world.owner().await).await, (1, 1, 1));
}

#[tokio::test]
async fn the_header_is_a_request_id_and_must_agree_with_the_field() {
    let world = World::start().await;
    let caller = operator();
    let mut tenants = world.tenants(&caller);
    let by_field = tenants.create_tenant(with_id(named("Acme"), "once")).await;
    let by_header = tenants
        .create_tenant(with_header(named("Acme"), "once"))
        .await;
    let by_both = tenants
        .create_tenant(with_header(with_id(named("Acme"), "once"), "once"))
        .await;
    let id = by_field.unwrap().into_inner().id;
    assert_eq!(by_header.unwrap().into_inner().id, id);
    assert_eq!(by_both.unwrap().into_inner().id, id);

    let differ = with_header(with_id(named("Acme"), "once"), "twice");
    assert_eq!(
        why(tenants.create_tenant(differ).await),
        Reason::RequestIdConflict
    );
}

#[tokio::test]
async fn a_request_id_of_a_wrong_form_is_refused() {
    let world = World::start().await;
    let mut tenants = world.tenants(&operator());
    let long = "x".repeat(129);
    for bad in ["with space", "tab\t", "nul\0", "ünïcode", &long] {
        let refused = tenants.create_tenant(with_id(named("Acme"), bad)).await;
        assert_eq!(fields(refused), ["request_id"], "{bad:?}");
    }
    let longest = "x".repeat(128);
    tenants
        .create_tenant(with_id(named("Acme"), &longest))
        .await
        .unwrap();
}

#[tokio::test]
async fn another_principal_with_the_same_request_id_gets_its_own_answer() {
    let world = World::start().await;
    let request = with_id(named("Acme"), "once");
    let [mut one, mut other] = [world.tenants(&operator()), world.tenants(&operator())];
    let first = one
        .create_tenant(request.clone())
        .await
        .unwrap()
        .into_inner();
    let second = other.create_tenant(request).await.unwrap().into_inner();
    assert_ne!(first.id, second.id);
}

#[tokio::test]
async fn the_same_request_id_on_another_method_or_tenant_is_another_request() {
    let world = World::start().await;
    let caller = operator();
    let mut tenants = world.tenants(&caller);
    let one = tenants
        .create_tenant(with_id(named("One"), "same"))
        .await
        .unwrap()
        .into_inner();
    let two = world.tenant("Two").await;
    for tenant in [&one, &two] {
        let update = UpdateTenantRequest {
            request_id: "same".to_owned(),
            ..rename(tenant, "New")
        };
        let updated = tenants.update_tenant(update).await.unwrap().into_inner();
        assert_eq!(
            (updated.id, updated.name.as_str()),
            (tenant.id.clone(), "New")
        );
    }
    let project = CreateProjectRequest {
        key: "product".to_owned(),
        request_id: "same".to_owned(),
        ..Default::default()
    };
    world
        .projects(&caller)
        .create_project(project)
        .await
        .unwrap();
}

#[tokio::test]
async fn sixty_four_creates_of_one_slug_make_one_tenant() {
    let world = World::start().await;
    let request = CreateTenantRequest {
        slug: "acme".to_owned(),
        ..named("Acme")
    };
    let answers = create_at_once(&world, &operator(), &request).await;
    let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(made.len(), 1);
    assert!(
        refused
            .into_iter()
            .all(|answer| why(answer) == Reason::SlugTaken)
    );
    assert_eq!(rows(&mut world.owner().await).await, (1, 1, 0));
}

#[tokio::test]
async fn sixty_four_creates_of_one_name_all_get_a_slug_of_their_own() {
    let world = World::start().await;
    let answers = create_at_once(&world, &operator(), &named("Acme")).await;
    let slugs: std::collections::BTreeSet<String> = answers
        .into_iter()
        .map(|answer| answer.unwrap().into_inner().slug)
        .collect();
    assert_eq!(slugs.len(), AT_ONCE);
    assert!(
        slugs.iter().all(|slug| slug.starts_with("acme")),
        "{slugs:?}"
    );
}

#[tokio::test]
async fn one_external_id_names_one_tenant_of_a_project() {
    let world = World::start().await;
    let request = CreateTenantRequest {
        external_id: "crm-1".to_owned(),
        ..named("Acme")
    };
    let answers = create_at_once(&world, &operator(), &request).await;
    let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(made.len(), 1);
    assert!(
        refused
            .into_iter()
            .all(|answer| why(answer) == Reason::ExternalIdTaken)
    );
}

#[tokio::test]
async fn of_two_updates_with_one_etag_one_wins_and_one_is_aborted() {
    let world = World::start().await;
    let tenant = world.tenant("Acme").await;
    let caller = operator();
    let answers = join_all(["Left", "Right"].map(|name| {
        let mut tenants = world.tenants(&caller);
        let request = UpdateTenantRequest {
            etag: tenant.etag.clone(),
            ..rename(&tenant, name)
        };
        async move { tenants.update_tenant(request).await }
    }))
    .await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 1));
    assert!(
        lost.into_iter()
            .all(|answer| why(answer) == Reason::EtagMismatch)
    );
    let suspend = SuspendTenantRequest {
        tenant: tenant.id.clone(),
        etag: tenant.etag.clone(),
        ..Default::default()
    };
    let stale = world.tenants(&caller).suspend_tenant(suspend).await;
    assert_eq!(why(stale), Reason::EtagMismatch, "every change compares");
}

#[tokio::test]
async fn a_refused_change_leaves_nothing_and_its_request_id_works_afterwards() {
    let world = World::start().await;
    let caller = operator();
    let mut tenants = world.tenants(&caller);
    let holder = CreateTenantRequest {
        slug: "acme".to_owned(),
        ..named("Holder")
    };
    world.create(holder).await;
    let mut owner = world.owner().await;
    let before = rows(&mut owner).await;

    let taken = CreateTenantRequest {
        slug: "acme".to_owned(),
        ..with_id(named("Acme"), "retried")
    };
    assert_eq!(why(tenants.create_tenant(taken).await), Reason::SlugTaken);
    let orphan = CreateTenantRequest {
        parent_id: uuid::Uuid::from_u128(7).to_string(),
        ..with_id(named("Acme"), "retried")
    };
    assert_eq!(
        why(tenants.create_tenant(orphan).await),
        Reason::ParentNotFound
    );
    assert_eq!(rows(&mut owner).await, before);

    tenants
        .create_tenant(with_id(named("Acme"), "retried"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_change_that_changes_nothing_is_recorded_and_leaves_no_event() {
    let world = World::start().await;
    let tenant = world.tenant("Acme").await;
    let caller = operator();
    let mut tenants = world.tenants(&caller);
    let same = UpdateTenantRequest {
        request_id: "same".to_owned(),
        ..rename(&tenant, "Acme")
    };
    let answer = tenants
        .update_tenant(same.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer, tenant, "same etag and times");
    tenants
        .update_tenant(rename(&tenant, "Later"))
        .await
        .unwrap();
    let again = tenants.update_tenant(same).await.unwrap().into_inner();
    assert_eq!(again, tenant, "the first answer, and no second change");
    assert_eq!(rows(&mut world.owner().await).await, (1, 2, 1));
}

#[tokio::test]
async fn a_replay_without_the_right_is_refused() {
    let world = World::start().await;
    let tenant = world.tenant("Acme").await;
    let mut caller = member(&tenant, &[Permission::TenantsUpdate]);
    let update = UpdateTenantRequest {
        request_id: "once".to_owned(),
        ..rename(&tenant, "New")
    };
    world
        .tenants(&caller)
        .update_tenant(update.clone())
        .await
        .unwrap();
    caller.perms = tenantry_core::Permissions::of(&[Permission::TenantsRead]);
    let replay = world.tenants(&caller).update_tenant(update).await;
    assert_eq!(why(replay), Reason::PermissionDenied);
}

#[tokio::test]
async fn a_replay_into_a_tenant_that_was_suspended_or_deleted_since_is_refused() {
    let world = World::start().await;
    let tenant = world.tenant("Acme").await;
    let own = member(
        &tenant,
        &[Permission::TenantsUpdate, Permission::TenantsCreate],
    );
    let update = UpdateTenantRequest {
        request_id: "once".to_owned(),
        ..rename(&tenant, "New")
    };
    world
        .tenants(&own)
        .update_tenant(update.clone())
        .await
        .unwrap();
    let child = CreateTenantRequest {
        parent_id: tenant.id.clone(),
        ..with_id(named("Child"), "once")
    };
    let made = world
        .tenants(&own)
        .create_tenant(child.clone())
        .await
        .unwrap()
        .into_inner();

    let mut above = world.tenants(&operator());
    let suspend = SuspendTenantRequest {
        tenant: tenant.id.clone(),
        ..Default::default()
    };
    above.suspend_tenant(suspend).await.unwrap();
    let replay = world.tenants(&own).update_tenant(update.clone()).await;
    assert_eq!(why(replay), Reason::TenantSuspended);
    let replay = world.tenants(&own).create_tenant(child).await;
    assert_eq!(why(replay), Reason::TenantSuspended);

    for id in [made.id, tenant.id.clone()] {
        let delete = DeleteTenantRequest {
            tenant: id,
            ..Default::default()
        };
        above.delete_tenant(delete).await.unwrap();
    }
    let replay = world.tenants(&own).update_tenant(update).await;
    assert_eq!(why(replay), Reason::TenantNotFound);
}

#[tokio::test]
async fn no_answer_that_is_kept_is_reached_from_another_tenant() {
    let world = World::start().await;
    let [one, other] = [world.tenant("One").await, world.tenant("Other").await];
    // The same person, with the same request id, in two tenants.
    let mut claims = member(&one, &[Permission::TenantsUpdate]);
    let update = |tenant: &Tenant| UpdateTenantRequest {
        request_id: "once".to_owned(),
        tenant: String::new(),
        ..rename(tenant, "New")
    };
    let first = world.tenants(&claims).update_tenant(update(&one)).await;
    claims.tenant = other.id.parse().ok();
    claims.slug.clone_from(&other.slug);
    let second = world.tenants(&claims).update_tenant(update(&other)).await;
    assert_eq!(first.unwrap().into_inner().id, one.id);
    assert_eq!(second.unwrap().into_inner().id, other.id);
}

#[tokio::test]
async fn a_sweep_takes_all_that_is_past_its_time_and_nothing_else() {
    const PAST: i64 = 10_001;
    let world = World::start().await;
    let mut owner = world.owner().await;
    sqlx::query(
        "INSERT INTO request_record (tenant_id, principal, method, request_id, digest, created_at)
         SELECT gen_random_uuid(), 'user:x', '/m', i::text, '', now() - interval '1 hour' * CASE WHEN i = 0 THEN 23 ELSE 25 END
         FROM generate_series(0, $1) AS i",
    )
    .bind(PAST)
    .execute(&mut owner)
    .await
    .unwrap();
    let gone = world.store.sweep_request_records().await.unwrap();
    assert_eq!(gone, PAST.unsigned_abs());
    assert_eq!(rows(&mut owner).await.2, 1);
}

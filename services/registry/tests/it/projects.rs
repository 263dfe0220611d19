//! Projects: what can be changed of them, once and on the state that it was decided on.

use futures::future::join_all;
use prost_types::FieldMask;
use tenantry_core::Reason;
use tenantry_proto::registry::v1::{
    CreateProjectRequest, CreateTenantRequest, GetProjectRequest, Project, UpdateProjectRequest,
    UpdateTenantRequest,
};

use crate::support::{World, all_of_a_tenant, fields, member, named, operator, reason, why};

fn sign_up(value: &str) -> UpdateProjectRequest {
    UpdateProjectRequest {
        project: "default".to_owned(),
        sign_up: Some(value.to_owned()),
        ..Default::default()
    }
}

async fn get(world: &World, key: &str) -> Project {
    let project = key.to_owned();
    let got = world
        .projects(&operator())
        .get_project(GetProjectRequest { project })
        .await;
    got.unwrap().into_inner()
}

#[tokio::test]
async fn sign_up_is_open_until_it_is_closed() {
    let world = World::start().await;
    let before = get(&world, "default").await;
    assert_eq!(
        (before.sign_up.as_str(), before.etag.as_str()),
        ("open", "1")
    );
    let mut projects = world.projects(&operator());
    let closed = projects.update_project(sign_up("closed")).await.unwrap();
    assert_eq!(
        (
            closed.get_ref().sign_up.as_str(),
            closed.get_ref().etag.as_str()
        ),
        ("closed", "2")
    );
    assert_eq!(&get(&world, "default").await, closed.get_ref());
    let again = projects.update_project(sign_up("closed")).await.unwrap();
    assert_eq!(again.get_ref(), closed.get_ref(), "it is so already");
    let born_closed = CreateProjectRequest {
        key: "private".to_owned(),
        sign_up: "closed".to_owned(),
        ..Default::default()
    };
    let made = projects
        .create_project(born_closed)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(made.sign_up, "closed");
    assert_eq!(get(&world, "private").await, made);
}

#[tokio::test]
async fn of_concurrent_updates_of_a_project_with_one_etag_one_wins() {
    let world = World::start().await;
    let attempts = (0..6).map(|n| {
        let request = UpdateProjectRequest {
            name: Some(format!("Name {n}")),
            etag: "1".to_owned(),
            sign_up: None,
            ..sign_up("")
        };
        let mut projects = world.projects(&operator());
        async move { projects.update_project(request).await }
    });
    let (won, lost): (Vec<_>, Vec<_>) = join_all(attempts)
        .await
        .into_iter()
        .partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    for lost in lost {
        assert_eq!(reason(&lost.unwrap_err()), Reason::EtagMismatch);
    }
}

#[tokio::test]
async fn a_repeated_update_of_a_project_is_done_once() {
    let world = World::start().await;
    let mut projects = world.projects(&operator());
    let request = UpdateProjectRequest {
        request_id: "once".to_owned(),
        ..sign_up("closed")
    };
    let caller = operator();
    let mut same = world.projects(&caller);
    let first = same
        .update_project(request.clone())
        .await
        .unwrap()
        .into_inner();
    projects.update_project(sign_up("open")).await.unwrap();
    let again = same.update_project(request).await.unwrap().into_inner();
    assert_eq!(first, again, "the first answer");
    assert_eq!(get(&world, "default").await.sign_up, "open");
}

#[tokio::test]
async fn a_bad_update_of_a_project_is_told_what_is_wrong() {
    let world = World::start().await;
    let mut projects = world.projects(&operator());
    let bad = UpdateProjectRequest {
        name: Some(" ".to_owned()),
        ..sign_up("perhaps")
    };
    assert_eq!(
        fields(projects.update_project(bad).await),
        ["name", "sign_up"]
    );
    let unknown = UpdateProjectRequest {
        update_mask: Some(FieldMask {
            paths: vec!["key".to_owned()],
        }),
        ..sign_up("open")
    };
    assert_eq!(
        fields(projects.update_project(unknown).await),
        ["update_mask"]
    );
    let nothing = UpdateProjectRequest {
        sign_up: None,
        ..sign_up("")
    };
    assert_eq!(
        why(projects.update_project(nothing).await),
        Reason::NothingToUpdate
    );
    for key in ["nowhere", "nul\0"] {
        let request = UpdateProjectRequest {
            project: key.to_owned(),
            ..sign_up("open")
        };
        assert_eq!(
            why(projects.update_project(request).await),
            Reason::ProjectNotFound
        );
    }
}

#[tokio::test]
async fn a_tenants_people_neither_read_nor_change_projects() {
    let world = World::start().await;
    let tenant = world.tenant("Acme").await;
    let mut projects = world.projects(&member(&tenant, &all_of_a_tenant()));
    let get = GetProjectRequest {
        project: "default".to_owned(),
    };
    assert_eq!(
        why(projects.get_project(get).await),
        Reason::PermissionDenied
    );
    let refused = projects.update_project(sign_up("closed")).await;
    assert_eq!(why(refused), Reason::PermissionDenied);
}

fn keyed(key: &str) -> CreateProjectRequest {
    CreateProjectRequest {
        key: key.to_owned(),
        ..Default::default()
    }
}

fn slugged(slug: &str, project: &str) -> CreateTenantRequest {
    CreateTenantRequest {
        slug: slug.to_owned(),
        project: project.to_owned(),
        ..named("Acme")
    }
}

#[tokio::test]
async fn a_project_and_a_tenant_of_the_default_project_never_stand_at_one_subdomain() {
    let world = World::start().await;
    let (mut projects, mut tenants) = (world.projects(&operator()), world.tenants(&operator()));
    projects.create_project(keyed("second")).await.unwrap();
    let taken = tenants.create_tenant(slugged("second", "")).await;
    assert_eq!(why(taken), Reason::SlugTaken);
    let first = world.tenant("First").await;
    let renamed = UpdateTenantRequest {
        tenant: first.id.clone(),
        slug: Some("second".to_owned()),
        ..Default::default()
    };
    assert_eq!(why(tenants.update_tenant(renamed).await), Reason::SlugTaken);
    // One that is made from a name is another.
    assert_ne!(world.tenant("Second").await.slug, "second");
    // A slug that was freed stays what it was.
    let freed = UpdateTenantRequest {
        tenant: first.id.clone(),
        slug: Some("first-now".to_owned()),
        ..Default::default()
    };
    tenants.update_tenant(freed).await.unwrap();
    for key in ["first", "first-now"] {
        let refused = projects.create_project(keyed(key)).await;
        assert_eq!(why(refused), Reason::SlugTaken, "{key}");
    }
    let again = projects.create_project(keyed("second")).await;
    assert_eq!(why(again), Reason::ProjectExists);
    // Below a project's own name there is room for its key.
    let below = slugged("second", "second");
    tenants.create_tenant(below).await.unwrap();
}

#[tokio::test]
async fn of_a_project_and_tenants_that_want_one_name_at_once_one_gets_it() {
    let world = World::start().await;
    let second = world.replica().await;
    let tenants = (0..4).map(|n| {
        let replica = if n % 2 == 0 { &*world } else { &second };
        let mut tenants = replica.tenants(&operator());
        async move { tenants.create_tenant(slugged("rival", "")).await.map(drop) }
    });
    let mut projects = world.projects(&operator());
    let project = async { projects.create_project(keyed("rival")).await.map(drop) };
    let (tenants, project) = tokio::join!(join_all(tenants), project);
    let (won, lost): (Vec<_>, Vec<_>) = tenants
        .into_iter()
        .chain([project])
        .partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    for lost in lost {
        assert_eq!(reason(&lost.unwrap_err()), Reason::SlugTaken);
    }
}

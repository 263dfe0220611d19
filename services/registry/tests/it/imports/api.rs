//! Who may import, what is refused as a whole, and what a repetition is answered.

use tenantry_core::{Permission, Permissions, Reason};
use tenantry_proto::registry::v1::{
    CancelTenantImportRequest, GetTenantImportRequest, ImportTenantsRequest,
    ListTenantImportRowsRequest, ListTenantImportsRequest,
};
use tenantry_rpc::assertion::Claims;

use super::{csv, import, made, start};
use crate::support::{World, fields, member, operator, why};

#[tokio::test]
async fn imports_are_for_those_who_manage_all_tenants() {
    let world = World::start().await;
    let tenant = world.tenant("Own").await;
    let done = import(&world, csv("name\nOne\n")).await;
    let id = done.id;
    let others = Permissions::of(Permission::ALL)
        .without(Permissions::of(&[Permission::PlatformTenantsManage]));
    let nearly = Claims {
        perms: others,
        ..operator()
    };
    let own: Vec<_> = others.without(Permissions::PLATFORM).iter().collect();
    for caller in [nearly, member(&tenant, &own)] {
        let mut imports = world.imports(&caller);
        let get = GetTenantImportRequest {
            tenant_import: id.clone(),
        };
        let rows = ListTenantImportRowsRequest {
            tenant_import: id.clone(),
            ..Default::default()
        };
        let cancel = CancelTenantImportRequest {
            tenant_import: id.clone(),
            ..Default::default()
        };
        let list = ListTenantImportsRequest::default();
        for refused in [
            why(imports.import_tenants(csv("name\nTwo\n")).await),
            why(imports.get_tenant_import(get).await),
            why(imports.list_tenant_imports(list).await),
            why(imports.list_tenant_import_rows(rows).await),
            why(imports.cancel_tenant_import(cancel).await),
        ] {
            assert_eq!(refused, Reason::PermissionDenied);
        }
    }
    assert_eq!(made(&world).await.0, 2);
}

#[tokio::test]
async fn what_is_no_import_is_refused_before_anything_begins() {
    let world = World::start().await;
    let mut imports = world.imports(&operator());
    for (request, field) in [
        (csv(""), "content"),
        (csv("name\n"), "content"),
        (csv("title\nOne\n"), "content"),
        (csv("name\nO\u{0}ne\n"), "content"),
        (csv("x".repeat(3_000_001)), "content"),
        (
            ImportTenantsRequest {
                format: "xlsx".to_owned(),
                ..csv("name\nOne\n")
            },
            "format",
        ),
    ] {
        assert_eq!(fields(imports.import_tenants(request).await), [field]);
    }
    for project in ["nothing", "\0", &"x".repeat(10_000)] {
        let request = ImportTenantsRequest {
            project: project.to_owned(),
            ..csv("name\nOne\n")
        };
        assert_eq!(
            why(imports.import_tenants(request).await),
            Reason::ProjectNotFound
        );
    }
    for id in ["", "nothing", "01900000-0000-7000-8000-000000000001"] {
        let tenant_import = id.to_owned();
        let get = GetTenantImportRequest {
            tenant_import: tenant_import.clone(),
        };
        let rows = ListTenantImportRowsRequest {
            tenant_import: tenant_import.clone(),
            ..Default::default()
        };
        let cancel = CancelTenantImportRequest {
            tenant_import,
            ..Default::default()
        };
        for refused in [
            why(imports.get_tenant_import(get).await),
            why(imports.list_tenant_import_rows(rows).await),
            why(imports.cancel_tenant_import(cancel).await),
        ] {
            assert_eq!(refused, Reason::ImportNotFound);
        }
    }
    let listed = imports
        .list_tenant_imports(ListTenantImportsRequest::default())
        .await;
    assert!(listed.unwrap().into_inner().tenant_imports.is_empty());
}

#[tokio::test]
async fn a_repeated_request_starts_no_second_import() {
    let world = World::start().await;
    let caller = operator();
    let request = ImportTenantsRequest {
        request_id: "once".to_owned(),
        ..csv("name\nOne\n")
    };
    let mut imports = world.imports(&caller);
    let first = imports
        .import_tenants(request.clone())
        .await
        .unwrap()
        .into_inner();
    let again = imports
        .import_tenants(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(first, again);
    assert_eq!(first.state, "pending");
    let other = ImportTenantsRequest {
        content: "name\nTwo\n".to_owned(),
        ..request
    };
    assert_eq!(
        why(imports.import_tenants(other).await),
        Reason::RequestIdReused
    );
    super::ended(&world, &first).await;
    assert_eq!(made(&world).await.0, 1);
}

#[tokio::test]
async fn imports_are_listed_from_the_newest_and_a_page_token_is_of_its_list() {
    let world = World::start().await;
    let mut started = Vec::new();
    for n in 0..5 {
        started.push(import(&world, csv(format!("name\nOne {n}\nTwo {n}\n"))).await);
    }
    started.reverse();
    let mut imports = world.imports(&operator());
    let mut listed = Vec::new();
    let mut request = ListTenantImportsRequest {
        page_size: 2,
        ..Default::default()
    };
    loop {
        let page = imports
            .list_tenant_imports(request.clone())
            .await
            .unwrap()
            .into_inner();
        listed.extend(page.tenant_imports);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(listed, started);
    let rows = ListTenantImportRowsRequest {
        tenant_import: started[0].id.clone(),
        page_size: 1,
        ..Default::default()
    };
    let page = imports
        .list_tenant_import_rows(rows.clone())
        .await
        .unwrap()
        .into_inner();
    let further = ListTenantImportRowsRequest {
        page_token: page.next_page_token,
        ..rows
    };
    assert!(
        imports
            .list_tenant_import_rows(further.clone())
            .await
            .is_ok()
    );
    for other in [
        ListTenantImportRowsRequest {
            tenant_import: started[1].id.clone(),
            ..further.clone()
        },
        ListTenantImportRowsRequest {
            outcome: "created".to_owned(),
            ..further.clone()
        },
    ] {
        assert_eq!(
            why(imports.list_tenant_import_rows(other).await),
            Reason::InvalidPageToken
        );
    }
    let odd = ListTenantImportRowsRequest {
        outcome: "done".to_owned(),
        page_token: String::new(),
        ..further
    };
    assert_eq!(
        fields(imports.list_tenant_import_rows(odd).await),
        ["outcome"]
    );
}

#[tokio::test]
async fn only_so_many_imports_are_under_way() {
    let world = World::start().await;
    let first = start(&world, csv("name\nOne\n")).await;
    super::ended(&world, &first).await;
    sqlx::query(
        "INSERT INTO tenant_imports (tenant_id, import_id, project, format, dry_run, state, row_count, created_count,
             existing_count, refused_count, started_by, created_at, due_at, failures)
         SELECT tenant_id, gen_random_uuid(), project, format, dry_run, 'pending', 1, 0, 0, 0, started_by, created_at,
             'infinity', 0
         FROM tenant_imports, generate_series(1, 10)",
    )
    .execute(&mut world.owner().await)
    .await
    .unwrap();
    let refused = world
        .imports(&operator())
        .import_tenants(csv("name\nTwo\n"))
        .await;
    assert_eq!(why(refused), Reason::LimitReached);
}

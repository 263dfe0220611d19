//! A schema that grows while replicas run: a migration comes before the new replicas, and the old ones go on meanwhile.

use std::fs;
use std::path::Path;

use sqlx::AssertSqlSafe;
use tenantry_core::Permission as P;
use tenantry_proto::internal::registry::v1::LookupTenantRequest;
use tenantry_proto::registry::v1::{
    CreateDomainRequest, GetDomainRequest, GetProjectRequest, GetTenantRequest, ListDomainsRequest,
    ListProjectsRequest, ListTenantsRequest, Tenant,
};
use tenantry_testkit::paths;

use crate::support::{World, member, named, operator, rename, service};

/// Reads and writes whatever a replica reads whole rows for.
async fn go_on(world: &World, parent: &Tenant) {
    let people = member(parent, &[P::TenantsRead, P::DomainsRead]);
    let mut tenants = world.tenants(&operator());
    for name in [&parent.id, &parent.slug] {
        let tenant = name.clone();
        tenants
            .get_tenant(GetTenantRequest { tenant })
            .await
            .unwrap();
    }
    tenants
        .update_tenant(rename(parent, "Parent"))
        .await
        .unwrap();
    tenants
        .create_tenant(tenantry_proto::registry::v1::CreateTenantRequest {
            parent_id: parent.id.clone(),
            ..named("Child")
        })
        .await
        .unwrap();
    for q in ["", "child"] {
        let request = ListTenantsRequest {
            q: q.to_owned(),
            ..Default::default()
        };
        tenants.list_tenants(request.clone()).await.unwrap();
        world.tenants(&people).list_tenants(request).await.unwrap();
    }
    let mut domains = world.domains(&people);
    let tenant = parent.id.clone();
    let request = GetDomainRequest {
        tenant: tenant.clone(),
        domain: "acme.com".to_owned(),
    };
    domains.get_domain(request).await.unwrap();
    domains
        .list_domains(ListDomainsRequest { tenant })
        .await
        .unwrap();
    let mut projects = world.projects(&operator());
    let request = GetProjectRequest {
        project: "default".to_owned(),
    };
    projects.get_project(request).await.unwrap();
    let request = ListProjectsRequest::default();
    projects.list_projects(request).await.unwrap();
    let request = LookupTenantRequest {
        id: parent.id.clone(),
        ..Default::default()
    };
    let mut feed = world.feed(&service("identity"));
    feed.lookup_tenant(request).await.unwrap();
}

#[tokio::test]
async fn columns_that_a_migration_adds_stop_no_replica_that_runs() {
    let world = World::start().await;
    let parent = world.tenant("Parent").await;
    let request = CreateDomainRequest {
        tenant: parent.id.clone(),
        domain: "acme.com".to_owned(),
        ..Default::default()
    };
    let mut domains = world.domains(&member(&parent, &[P::DomainsManage]));
    domains.create_domain(request).await.unwrap();
    // Whatever connection a statement goes over is likely to know it then.
    for _ in 0..5 {
        go_on(&world, &parent).await;
    }
    let mut owner = world.owner().await;
    let grown: Vec<String> = sqlx::query_scalar(
        "SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'registry'::regnamespace AND relkind = 'r'",
    )
    .fetch_all(&mut owner)
    .await
    .unwrap();
    // One lock at a time, as a migration takes it: the replica reads several tables in a transaction meanwhile.
    for table in grown {
        let statement = format!("ALTER TABLE {table} ADD COLUMN later text");
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut owner)
            .await
            .unwrap();
    }
    for _ in 0..5 {
        go_on(&world, &parent).await;
    }
}

#[test]
fn no_statement_reads_the_columns_of_a_table_without_naming_them() {
    let root = paths::repository();
    let mut found = Vec::new();
    for top in ["libs", "services"] {
        for package in fs::read_dir(root.join(top)).unwrap() {
            search(&package.unwrap().path().join("src"), &mut found);
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

fn search(dir: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let stars = text.match_indices('*').map(|(at, _)| text.split_at(at));
            let wrong = stars.filter(|(before, after)| {
                // What is made of the statement's own values has the columns that it says.
                let grows = !after.starts_with("* FROM unnest(");
                let words = ["SELECT ", "RETURNING ", "DISTINCT "];
                let bare = words.iter().any(|word| before.ends_with(word));
                let of_one = before.strip_suffix('.').is_some_and(|before| {
                    before.ends_with(|last: char| last == '_' || last.is_ascii_lowercase())
                });
                grows && (bare || of_one)
            });
            found.extend(wrong.map(|(before, _)| {
                let end: String = before.chars().rev().take(40).collect();
                format!(
                    "{}: {}*",
                    path.display(),
                    end.chars().rev().collect::<String>()
                )
            }));
        }
    }
}

//! Who may say whom a tenant lets speak for its people, and what becomes of the client's secret.

use sqlx::{Connection as _, PgConnection};
use tenantry_proto::identity::v1 as wire;
use tonic::{Code, Status};

use crate::caller::{Who, reason};
use crate::external::{PAGE, provider};
use crate::world::World;

const ISSUER: &str = "https://login.example.com";

fn new(client_id: &str, roles: &[&str]) -> wire::CreateIdentityProviderRequest {
    wire::CreateIdentityProviderRequest {
        name: "Login".to_owned(),
        issuer: ISSUER.to_owned(),
        client_id: client_id.to_owned(),
        redirect_uris: vec![PAGE.to_owned()],
        just_in_time_roles: roles.iter().map(|&role| role.to_owned()).collect(),
        ..Default::default()
    }
}

async fn create(
    world: &World,
    who: &Who,
    request: wire::CreateIdentityProviderRequest,
) -> Result<wire::IdentityProvider, Status> {
    let ask = world.ask(who, request).await?;
    Ok(world
        .identity_providers()
        .create_identity_provider(ask)
        .await?
        .into_inner())
}

async fn update(
    world: &World,
    who: &Who,
    request: wire::UpdateIdentityProviderRequest,
) -> Result<wire::IdentityProvider, Status> {
    let ask = world.ask(who, request).await?;
    Ok(world
        .identity_providers()
        .update_identity_provider(ask)
        .await?
        .into_inner())
}

async fn get(world: &World, who: &Who, id: &str) -> Result<wire::IdentityProvider, Status> {
    let request = wire::GetIdentityProviderRequest {
        identity_provider: id.to_owned(),
        ..Default::default()
    };
    let ask = world.ask(who, request).await?;
    Ok(world
        .identity_providers()
        .get_identity_provider(ask)
        .await?
        .into_inner())
}

#[tokio::test]
async fn only_an_owner_says_who_speaks_for_the_tenants_people() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let other = world.tenant("beta", None).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    let admin = world.member(tenant, "admin@example.com", "admin").await;
    let member = world.member(tenant, "member@example.com", "member").await;
    let foreign = world.member(other, "foreign@example.com", "owner").await;
    let made = create(&world, &owner, new("one", &["owner"]))
        .await
        .unwrap();
    assert_eq!(get(&world, &admin, &made.id).await.unwrap(), made);
    for who in [&admin, &member] {
        let refused = create(&world, who, new("two", &[])).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
    }
    assert_eq!(
        get(&world, &member, &made.id).await.unwrap_err().code(),
        Code::PermissionDenied
    );
    let absent = get(&world, &foreign, &tenant.to_string())
        .await
        .unwrap_err();
    let theirs = get(&world, &foreign, &made.id).await.unwrap_err();
    assert_eq!(reason(&theirs), "IDENTITY_PROVIDER_NOT_FOUND");
    assert_eq!(
        (absent.message(), absent.details()),
        (theirs.message(), theirs.details())
    );
    let of_project = wire::CreateIdentityProviderRequest {
        project: "default".to_owned(),
        ..new("two", &[])
    };
    let refused = create(&world, &owner, of_project).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let twice = create(&world, &owner, new("one", &[])).await.unwrap_err();
    assert_eq!(reason(&twice), "IDENTITY_PROVIDER_EXISTS");
}

#[tokio::test]
async fn a_clients_secret_is_sealed_and_never_shown() {
    const SECRET: &str = "s3cr3t-of-the-client";
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    let request = wire::CreateIdentityProviderRequest {
        client_secret: SECRET.to_owned(),
        request_id: "once".to_owned(),
        ..new("one", &["member"])
    };
    assert!(!format!("{request:?}").contains(SECRET));
    let made = create(&world, &owner, request.clone()).await.unwrap();
    assert!(made.has_client_secret);
    assert_eq!(
        create(&world, &owner, request).await.unwrap(),
        made,
        "a repetition"
    );
    let url = world.database.superuser_url();
    let mut connection = PgConnection::connect(url.as_str()).await.unwrap();
    let everything: String = sqlx::query_scalar(
        "SELECT coalesce(string_agg(x, ' '), '') FROM (
             SELECT identity_providers::text || encode(client_secret, 'escape') AS x FROM identity.identity_providers
             UNION ALL SELECT outbox::text FROM identity.outbox UNION ALL SELECT request_record::text FROM identity.request_record) AS rows",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert!(everything.contains(&made.id) && !everything.contains(SECRET));
    let cleared = wire::UpdateIdentityProviderRequest {
        identity_provider: made.id.clone(),
        client_secret: Some(String::new()),
        ..Default::default()
    };
    assert!(
        !update(&world, &owner, cleared)
            .await
            .unwrap()
            .has_client_secret
    );
}

#[tokio::test]
async fn an_update_changes_what_it_names_once_for_its_etag() {
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    let made = provider(&world, &owner, ISSUER, |_| {}).await;
    let change = wire::UpdateIdentityProviderRequest {
        identity_provider: made.id.clone(),
        name: Some("New".to_owned()),
        etag: made.etag.clone(),
        ..Default::default()
    };
    let renamed = update(&world, &owner, change.clone()).await.unwrap();
    assert_eq!(
        (renamed.name.as_str(), &renamed.just_in_time_roles),
        ("New", &made.just_in_time_roles)
    );
    let late = update(&world, &owner, change.clone()).await.unwrap_err();
    assert_eq!(reason(&late), "ETAG_MISMATCH");
    let nothing = wire::UpdateIdentityProviderRequest {
        identity_provider: made.id.clone(),
        ..Default::default()
    };
    let refused = update(&world, &owner, nothing.clone()).await.unwrap_err();
    assert_eq!(reason(&refused), "NOTHING_TO_UPDATE");
    let mask = |path: &str| wire::UpdateIdentityProviderRequest {
        update_mask: Some(prost_types::FieldMask {
            paths: vec![path.to_owned()],
        }),
        ..nothing.clone()
    };
    let cleared = update(&world, &owner, mask("just_in_time_roles"))
        .await
        .unwrap();
    assert!(cleared.just_in_time_roles.is_empty());
    for path in ["redirect_uris", "issuer", "project"] {
        let refused = update(&world, &owner, mask(path)).await.unwrap_err();
        assert_eq!(reason(&refused), "INVALID_ARGUMENT", "{path}");
    }
}

#[tokio::test]
async fn a_tenant_has_a_bounded_number_of_providers_which_page() {
    const MOST: usize = 20;
    let world = World::start().await;
    let tenant = world.tenant("acme", None).await;
    let owner = world.member(tenant, "owner@example.com", "owner").await;
    for n in 0..MOST {
        create(&world, &owner, new(&n.to_string(), &[]))
            .await
            .unwrap();
    }
    let beyond = create(&world, &owner, new("beyond", &[]))
        .await
        .unwrap_err();
    assert_eq!(reason(&beyond), "LIMIT_REACHED");
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = wire::ListIdentityProvidersRequest {
            page_size: 7,
            page_token,
            ..Default::default()
        };
        let ask = world.ask(&owner, request).await.unwrap();
        let page = world
            .identity_providers()
            .list_identity_providers(ask)
            .await
            .unwrap()
            .into_inner();
        seen.extend(
            page.identity_providers
                .into_iter()
                .map(|provider| provider.client_id),
        );
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let newest_first: Vec<_> = (0..MOST).rev().map(|n| n.to_string()).collect();
    assert_eq!(seen, newest_first);
    let request = wire::ListIdentityProvidersRequest::default();
    let ask = world.ask(&owner, request).await.unwrap();
    let page = world
        .identity_providers()
        .list_identity_providers(ask)
        .await
        .unwrap()
        .into_inner();
    let gone = wire::DeleteIdentityProviderRequest {
        identity_provider: page.identity_providers[0].id.clone(),
        ..Default::default()
    };
    let ask = world.ask(&owner, gone).await.unwrap();
    world
        .identity_providers()
        .delete_identity_provider(ask)
        .await
        .unwrap();
    assert!(
        get(&world, &owner, &page.identity_providers[0].id)
            .await
            .is_err()
    );
}

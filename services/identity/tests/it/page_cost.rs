//! A page costs the same wherever in a long list it is: as many blocks of the database, and few of them. What that comes to
//! in time is told by `tests/bench`.

use sqlx::{Connection as _, PgConnection};
use tenantry_proto::identity::v1 as wire;
use tenantry_testkit::statements::Statements;
use uuid::Uuid;

use crate::caller::Who;
use crate::world::World;

const TENANTS: usize = 1_000;
const MEMBERS: i32 = 50_000;
const PAGE: i32 = 50;
/// The last page may cost so many times the first: what is met on the way down an index differs by a block or two.
const MOST: f64 = 1.5;
/// A page of the first or the last may look at no more than this part of the table.
const PART: f64 = 0.25;

/// What reading one page costs.
struct Costs {
    connection: PgConnection,
    /// How the statement that reads a page begins.
    statement: &'static str,
}

impl Costs {
    async fn of(world: &World, statement: &'static str) -> Self {
        let url = world.database.superuser_url();
        let mut connection = PgConnection::connect(url.as_str()).await.unwrap();
        sqlx::query("VACUUM ANALYZE identity.memberships")
            .execute(&mut connection)
            .await
            .unwrap();
        Self {
            connection,
            statement,
        }
    }

    /// Blocks looked at while `read` reads one page.
    async fn blocks(&mut self, read: impl Future<Output = ()>) -> f64 {
        let before = Statements::of("identity", &mut self.connection)
            .await
            .unwrap();
        read.await;
        let after = Statements::of("identity", &mut self.connection)
            .await
            .unwrap();
        let mut read = after.since(&before);
        read.retain(|(query, _)| query.starts_with(self.statement));
        let [(_, counts)] = read.as_slice() else {
            panic!("one statement reads a page: {read:?}");
        };
        counts.blocks as f64 / counts.calls as f64
    }

    async fn assert_flat(mut self, first: f64, last: f64) {
        let table: i32 = sqlx::query_scalar(
            "SELECT relpages FROM pg_class WHERE oid = 'identity.memberships'::regclass",
        )
        .fetch_one(&mut self.connection)
        .await
        .unwrap();
        assert!(last <= first * MOST, "first {first}, last {last}");
        let most = f64::from(table) * PART;
        assert!(last < most, "first {first}, last {last}, of {table}");
    }
}

/// The token of every page but the first, read to the end, and how many items there are.
async fn walk(read: impl AsyncFn(String) -> (usize, String)) -> (Vec<String>, usize) {
    let (mut tokens, mut items, mut token) = (Vec::new(), 0, String::new());
    loop {
        let (found, next) = read(token).await;
        items += found;
        if next.is_empty() {
            return (tokens, items);
        }
        tokens.push(next.clone());
        token = next;
    }
}

/// Makes a tenant crowded: its members are nearly all of the table.
async fn crowd(world: &World, tenant: Uuid) {
    let url = world.database.superuser_url();
    let mut connection = PgConnection::connect(url.as_str()).await.unwrap();
    sqlx::query(
        "WITH people AS (
             INSERT INTO identity.users (id, email, name)
             SELECT gen_random_uuid(), 'p' || n || '@example.com', 'p' FROM generate_series(1, $2) AS n
             RETURNING id, email, name
         )
         INSERT INTO identity.memberships (tenant_id, user_id, email, name, roles)
         SELECT $1, id, email, name, '{member}' FROM people",
    )
    .bind(tenant)
    .bind(MEMBERS)
    .execute(&mut connection)
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_with_many_members_lists_them_at_a_flat_cost() {
    let world = World::start().await;
    let acme = world.tenant("acme", None).await;
    crowd(&world, acme.uuid()).await;
    let operator = Who::bearer(&world.operator).at(acme);
    let page = async |page_token: String, page_size: i32| {
        let request = wire::ListMembersRequest {
            page_size,
            page_token,
            ..Default::default()
        };
        let ask = world.ask(&operator, request).await.unwrap();
        let answer = world.members().list_members(ask).await.unwrap();
        let answer = answer.into_inner();
        (answer.users.len(), answer.next_page_token)
    };
    let (tokens, items) = walk(async |token| page(token, 1_000).await).await;
    assert_eq!(items, usize::try_from(MEMBERS).unwrap());

    let mut costs = Costs::of(&world, "SELECT tenant_id, user_id, email, name, roles").await;
    let read = async |token: &str| assert_eq!(page(token.to_owned(), PAGE).await.0, 50);
    let first = costs.blocks(read("")).await;
    let last = costs.blocks(read(tokens.last().unwrap())).await;
    costs.assert_flat(first, last).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_in_a_thousand_tenants_lists_them_at_a_flat_cost() {
    let world = World::start().await;
    let acme = world.tenant("acme", None).await;
    crowd(&world, acme.uuid()).await;
    world.member(acme, "ann@example.com", "member").await;
    let further: Vec<_> = (1..TENANTS)
        .map(|n| world.registry.add(&format!("tenant-{n}"), None, &[]))
        .collect();
    let url = world.database.superuser_url();
    let mut connection = PgConnection::connect(url.as_str()).await.unwrap();
    sqlx::query(
        "INSERT INTO identity.memberships (tenant_id, user_id, email, name, roles)
         SELECT t, u.id, u.email, u.name, '{member}' FROM identity.users AS u, unnest($1::uuid[]) AS t
         WHERE u.email = 'ann@example.com'",
    )
    .bind(further.iter().map(|id| id.uuid()).collect::<Vec<Uuid>>())
    .execute(&mut connection)
    .await
    .unwrap();
    let ann = Who::bearer(&world.login("ann@example.com").await.access_token);
    let page = async |page_token: String| {
        let request = wire::ListUserMembershipsRequest {
            user: "me".to_owned(),
            page_size: PAGE,
            page_token,
        };
        let ask = world.ask(&ann, request).await.unwrap();
        let answer = world.members().list_user_memberships(ask).await.unwrap();
        let answer = answer.into_inner();
        (answer.memberships.len(), answer.next_page_token)
    };
    let (tokens, items) = walk(&page).await;
    assert_eq!(items, TENANTS);

    let mut costs = Costs::of(&world, "SELECT tenant_id, roles, created_at").await;
    let read = async |token: &str| assert_eq!(page(token.to_owned()).await.0, 50);
    let first = costs.blocks(read("")).await;
    let last = costs.blocks(read(tokens.last().unwrap())).await;
    costs.assert_flat(first, last).await;
}

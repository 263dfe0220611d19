//! Does a million tenants cost more than a thousand? Latency of registry's reads over both, in the same run, as ratios.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sqlx::AssertSqlSafe;
use tenantry_bench::figures::at;
use tenantry_bench::load;
use tenantry_core::{Permissions, PrincipalKind};
use tenantry_proto::registry::v1 as wire;
use tenantry_proto::registry::v1::tenant_service_client::TenantServiceClient;
use tenantry_rpc::assertion::{Claims, FLEET, GATEWAY, HEADER, sign};
use tenantry_rpc::keys::KeyRing;
use tenantry_testkit::fleet::Fleet;
use tenantry_testkit::keys::GatewayWord;
use tonic::Request;
use tonic::transport::Channel;

const SMALL: i64 = 1_000;
const LARGE: i64 = 1_000_000;
/// Measured requests of each kind, and those before that warm up.
const MEASURED: usize = 4_000;
const WARM_UP: usize = 200;
/// The page that is reached by following tokens.
const DEEP_PAGE: usize = 500;
const SUBTREE: i64 = 100;

/// One kind of read.
#[derive(Clone, Copy, Debug)]
enum Read {
    Get,
    FirstPage,
    FilteredPage,
    DeepPage,
    Subtree,
    Search(&'static str, Found),
}

/// What a search finds.
#[derive(Clone, Copy, Debug)]
enum Found {
    Nothing,
    One,
    Page(usize),
}

const READS: &[(Read, &str)] = &[
    (Read::Get, "get by id"),
    (Read::FirstPage, "first page of 50, by name"),
    (
        Read::FilteredPage,
        "status + plan (0.1 %), by name, page of 1",
    ),
    (Read::DeepPage, "500th page of 2, by name"),
    (Read::Subtree, "subtree of 100, by name"),
    (
        Read::Search("brauerei", Found::One),
        "search: one has it, by name",
    ),
    (
        Read::Search("35f4a8d465e6", Found::One),
        "search: one has it, all its parts are common",
    ),
    (
        Read::Search("xyzzyx", Found::Nothing),
        "search: none has it, by name",
    ),
    (
        Read::Search("tenant", Found::Page(50)),
        "search: all have it, by name, page of 50",
    ),
    (
        Read::Search("abc", Found::Page(3)),
        "search: one in 140 has it, by name, page of 3",
    ),
];

struct Side {
    fleet: Fleet,
    client: TenantServiceClient<Channel>,
    assertion: tonic::metadata::MetadataValue<tonic::metadata::Ascii>,
    word: GatewayWord,
    deep_token: String,
}

impl Side {
    async fn start(tenants: i64) -> Result<Self> {
        let fleet = load::fleet().await?;
        let began = Instant::now();
        load::tenants(&fleet, tenants, SUBTREE).await?;
        println!(
            "{tenants} tenants loaded in {:.1} s",
            began.elapsed().as_secs_f64()
        );
        let mut side = Self {
            client: Self::connect(&fleet).await?,
            assertion: assertion(&fleet)?,
            word: fleet.keys().gateway_word(),
            deep_token: String::new(),
            fleet,
        };
        side.deep_token = side.token_of_page(DEEP_PAGE).await?;
        Ok(side)
    }

    async fn connect(fleet: &Fleet) -> Result<TenantServiceClient<Channel>> {
        let address = fleet.service("registry", 0).address();
        Ok(TenantServiceClient::connect(format!("http://{address}")).await?)
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert(HEADER, self.assertion.clone());
        metadata.insert(GatewayWord::HEADER, self.word.value().clone());
        request
    }

    async fn token_of_page(&self, page: usize) -> Result<String> {
        let mut token = String::new();
        for _ in 1..page {
            let list = self.list(Read::DeepPage, &token).await?;
            list.next_page_token.clone_into(&mut token);
        }
        Ok(token)
    }

    async fn list(&self, read: Read, token: &str) -> Result<wire::ListTenantsResponse> {
        let mut message = wire::ListTenantsRequest {
            order_by: "name".to_owned(),
            page_token: token.to_owned(),
            ..Default::default()
        };
        match read {
            Read::Get | Read::FirstPage => {}
            Read::FilteredPage => {
                message.status = "suspended".to_owned();
                message.tier = "business".to_owned();
                message.page_size = 1;
            }
            Read::DeepPage => message.page_size = 2,
            Read::Subtree => {
                message.parent = "01900000-0000-7000-8000-000000000001".to_owned();
                message.subtree = true;
                message.page_size = 100;
            }
            Read::Search(text, found) => {
                message.q = text.to_owned();
                if let Found::Page(size) = found {
                    message.page_size = i32::try_from(size)?;
                }
            }
        }
        let response = self
            .client
            .clone()
            .list_tenants(self.request(message))
            .await?;
        Ok(response.into_inner())
    }

    async fn once(&self, read: Read, i: usize) -> Result<()> {
        match read {
            Read::Get => {
                let tenant = load::tenant(i as i64 * 7919 % SMALL + 1).to_string();
                self.client
                    .clone()
                    .get_tenant(self.request(wire::GetTenantRequest { tenant }))
                    .await?;
            }
            Read::FirstPage => anyhow::ensure!(self.list(read, "").await?.tenants.len() == 50),
            Read::FilteredPage => anyhow::ensure!(self.list(read, "").await?.tenants.len() == 1),
            Read::DeepPage => {
                anyhow::ensure!(self.list(read, &self.deep_token).await?.tenants.len() == 2)
            }
            Read::Subtree => {
                anyhow::ensure!(self.list(read, "").await?.tenants.len() as i64 == SUBTREE - 1)
            }
            Read::Search(_, found) => {
                let expected = match found {
                    Found::Nothing => 0,
                    Found::One => 1,
                    Found::Page(size) => size,
                };
                anyhow::ensure!(self.list(read, "").await?.tenants.len() == expected);
            }
        }
        Ok(())
    }

    /// Latency of one request.
    async fn time(&self, read: Read, i: usize) -> Result<Duration> {
        let began = Instant::now();
        self.once(read, i).await?;
        Ok(began.elapsed())
    }

    /// Empties the database's own cache; the first request of each kind then finds nothing.
    async fn chill(&mut self) -> Result<()> {
        self.fleet
            .postgres()
            .context("own Postgres")?
            .unit()
            .restart()
            .await?;
        self.fleet.service("registry", 0).unit().restart().await?;
        self.client = Self::connect(&self.fleet).await?;
        Ok(())
    }
}

/// Sorted latencies of both sides, one request after the other, in turn: what disturbs the machine disturbs both.
async fn measure(
    small: &Side,
    large: &Side,
    read: Read,
    requests: usize,
) -> Result<[Vec<Duration>; 2]> {
    let mut took = [Vec::with_capacity(requests), Vec::with_capacity(requests)];
    for i in 0..requests {
        took[0].push(small.time(read, i).await?);
        took[1].push(large.time(read, i).await?);
    }
    for side in &mut took {
        side.sort_unstable();
    }
    Ok(took)
}

/// An operator's assertion, as the gateway's authoriser gives it.
fn assertion(fleet: &Fleet) -> Result<tonic::metadata::MetadataValue<tonic::metadata::Ascii>> {
    let ring = std::fs::read_to_string(fleet.keys().assertion_ring())?;
    let ring = KeyRing::parse(&ring).map_err(anyhow::Error::msg)?;
    let now = tenantry_core::clock::now().as_second();
    let claims = Claims {
        iss: GATEWAY.to_owned(),
        aud: FLEET.to_owned(),
        exp: now + 3_600,
        kind: PrincipalKind::User,
        name: "bench".to_owned(),
        no_tenant: "none".to_owned(),
        perms: Permissions::PLATFORM,
        ..Claims::of_service("bench", "registry")
    };
    Ok(sign(&ring, &claims)?.parse()?)
}

/// The plans of the queries, as Postgres made them.
const PLANS: &[(&str, &str)] = &[
    (
        "get_by_id",
        "SELECT * FROM tenants WHERE tenant_id = '01900000-0000-7000-8000-000000000011'",
    ),
    (
        "first_page_by_name",
        "SELECT t.* FROM tenants AS t WHERE t.project = 'default' AND t.status <> 'deleted' ORDER BY t.name ASC, t.tenant_id ASC LIMIT 51",
    ),
    (
        "status_plan_by_name",
        "SELECT t.* FROM tenants AS t WHERE t.project = 'default' AND t.status = 'suspended' AND t.plan = 'business' ORDER BY t.name ASC, t.tenant_id ASC LIMIT 2",
    ),
    (
        "deep_page_by_name",
        "SELECT t.* FROM tenants AS t WHERE t.project = 'default' AND t.status <> 'deleted' AND (t.name, t.tenant_id) > ('Tenant 8', '01900000-0000-7000-8000-000000000011') ORDER BY t.name ASC, t.tenant_id ASC LIMIT 3",
    ),
    (
        "subtree_of_100",
        "WITH RECURSIVE tree AS (SELECT tenant_id, status, 1 AS level FROM tenants WHERE tenant_id = '01900000-0000-7000-8000-000000000001' UNION ALL SELECT c.tenant_id, c.status, tree.level + 1 FROM tenants AS c JOIN tree ON c.parent_id = tree.tenant_id WHERE tree.status IN ('trial', 'active') AND tree.level < 10) SELECT t.* FROM tree JOIN tenants AS t USING (tenant_id) WHERE tree.level > 1 AND t.status <> 'deleted' ORDER BY t.name ASC, t.tenant_id ASC LIMIT 101",
    ),
    (
        "search_in_order",
        r"SELECT t.* FROM (SELECT t.* FROM tenants AS t WHERE t.project = 'default' ORDER BY t.name ASC, t.tenant_id ASC LIMIT 510) AS t WHERE true AND t.status <> 'deleted' AND search_form(E'\n' || t.name || E'\n' || t.slug) LIKE search_form('%tenant%') ORDER BY t.name ASC, t.tenant_id ASC LIMIT 51",
    ),
    (
        "search_by_index",
        r"SELECT t.* FROM (SELECT t.* FROM tenants AS t WHERE t.project = 'default' AND t.status <> 'deleted' AND search_form(E'\n' || t.name || E'\n' || t.slug) LIKE search_form('%brauerei%') OFFSET 0) AS t ORDER BY t.name ASC, t.tenant_id ASC LIMIT 51",
    ),
];

async fn keep_plans(side: &Side) -> Result<()> {
    let mut connection = load::superuser(&side.fleet).await?;
    sqlx::query("SET search_path = registry")
        .execute(&mut connection)
        .await?;
    sqlx::query("SET ROLE registry_platform")
        .execute(&mut connection)
        .await?;
    for (name, query) in PLANS {
        let sql = format!("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, SUMMARY OFF) {query}");
        let lines: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_all(&mut connection)
            .await?;
        let path =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("plans/{name}.txt"));
        std::fs::write(path, format!("{query}\n\n{}\n", lines.join("\n")))?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut small = Side::start(SMALL).await?;
    let mut large = Side::start(LARGE).await?;
    println!(
        "\n{:44} {:>9} {:>9} {:>7} {:>9} {:>9} {:>7}",
        "warm", "p50 1k", "p50 1M", "ratio", "p99 1k", "p99 1M", "ratio"
    );
    for (read, name) in READS {
        measure(&small, &large, *read, WARM_UP).await?;
        let [a, b] = measure(&small, &large, *read, MEASURED).await?;
        println!(
            "{name:44} {:7.2}ms {:7.2}ms {:7.2} {:7.2}ms {:7.2}ms {:7.2}",
            at(&a, 50),
            at(&b, 50),
            at(&b, 50) / at(&a, 50),
            at(&a, 99),
            at(&b, 99),
            at(&b, 99) / at(&a, 99),
        );
    }
    println!(
        "\n{:44} {:>9} {:>9} {:>7}",
        "cold (first after a restart of Postgres)", "1k", "1M", "ratio"
    );
    for (read, name) in READS {
        small.chill().await?;
        large.chill().await?;
        let [a, b] = measure(&small, &large, *read, 1).await?;
        println!(
            "{name:44} {:7.2}ms {:7.2}ms {:7.2}",
            at(&a, 50),
            at(&b, 50),
            at(&b, 50) / at(&a, 50)
        );
    }
    keep_plans(&large).await?;
    small.fleet.stop().await?;
    large.fleet.stop().await
}

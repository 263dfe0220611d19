//! Does a page cost more the further on it is? A user in a thousand tenants, and a tenant with a hundred thousand members:
//! the last tenth of the pages against the first, in turn, through identity as the gateway would ask it.

use std::time::Instant;

use anyhow::{Context as _, Result};
use prost::Message as _;
use tenantry_bench::drive::{Ask, Target};
use tenantry_bench::{figures, load, question};
use tenantry_proto::envoy::service::auth::v3::CheckResponse;
use tenantry_proto::envoy::service::auth::v3::check_response::HttpResponse;
use tenantry_proto::identity::v1 as wire;
use tenantry_rpc::assertion::HEADER;
use tenantry_testkit::fleet::Fleet;
use tonic::metadata::MetadataMap;

const TENANTS: i64 = 1_000;
const MEMBERS: i32 = 100_000;
/// How often the first and the last pages are read.
const TURNS: usize = 40;
const MEMBERS_PAGE: i32 = 500;
const TENANTS_PAGE: i32 = 20;

const LIST_MEMBERS: &str = "/tenantry.identity.v1.MemberService/ListMembers";
const LIST_TENANTS: &str = "/tenantry.identity.v1.MemberService/ListUserMemberships";

/// The first signed-in person becomes an owner of the tenant $1, beside this many members.
const CROWD: &str = "
WITH people AS (
    INSERT INTO identity.users (id, email, name)
    SELECT gen_random_uuid(), 'p' || n || '@example.com', 'p' FROM generate_series(1, $2) AS n
    RETURNING id, email
)
INSERT INTO identity.memberships (tenant_id, user_id, email, name, roles)
SELECT $1, id, email, 'p', '{member}' FROM people";

/// The user of the only session becomes a member of every tenant.
const EVERYWHERE: &str = "
INSERT INTO identity.memberships (tenant_id, user_id, email, name, roles)
SELECT t.tenant_id, u.id, u.email, 'Ann', '{admin}'
FROM registry.tenants AS t, identity.sessions AS s JOIN identity.users AS u ON u.id = s.user_id
ON CONFLICT DO NOTHING";

/// A list whose pages are read.
struct List {
    target: Target,
    metadata: MetadataMap,
    /// The message for a page, by the token before it.
    message: fn(String) -> Vec<u8>,
    /// How many items an answer has, and the token of the next page.
    read: fn(&[u8]) -> Result<(usize, String)>,
}

impl List {
    fn ask(&self, token: &str) -> Ask {
        Ask {
            body: (self.message)(token.to_owned()).into(),
            metadata: self.metadata.clone(),
        }
    }

    /// The token of each page, and the number of all items.
    async fn walk(&self) -> Result<(Vec<String>, usize)> {
        let (mut tokens, mut items) = (vec![String::new()], 0);
        loop {
            let last = tokens.last().context("a first page")?;
            let (found, next) = (self.read)(&self.target.once(&self.ask(last)).await?)?;
            items += found;
            if next.is_empty() {
                return Ok((tokens, items));
            }
            tokens.push(next);
        }
    }

    /// Reads the first and the last tenth of the pages in turn and tells what they cost.
    async fn compare(&self, what: &str) -> Result<()> {
        let (tokens, items) = self.walk().await?;
        let tenth = (tokens.len() / 10).max(1);
        // The very last page may be short.
        let far = tokens.len() - 1 - tenth;
        let mut took = [Vec::new(), Vec::new()];
        for _ in 0..TURNS {
            for n in 0..tenth {
                for (side, page) in [n, far + n].into_iter().enumerate() {
                    let ask = self.ask(&tokens[page]);
                    let began = Instant::now();
                    self.target.once(&ask).await?;
                    took[side].push(began.elapsed().as_secs_f64() * 1e3);
                }
            }
        }
        let [first, last] = took.each_mut().map(|side| {
            side.sort_by(f64::total_cmp);
            |part: f64| side[((side.len() - 1) as f64 * part) as usize]
        });
        figures::head(
            &format!("{what}: {items} in {} pages", tokens.len()),
            "first tenth",
            "last tenth",
        );
        for (name, part) in [("p50", 0.50), ("p99", 0.99)] {
            figures::line(name, "ms", first(part), last(part));
        }
        Ok(())
    }
}

/// What comes with a request once the gateway has let it pass: the assertion that identity gives this token.
async fn admitted(fleet: &Fleet, token: &str, tenant: &str) -> Result<MetadataMap> {
    let identity = fleet.service("identity", 0).address();
    let check = Target::connect(identity, question::CHECK, question::is_admitted).await?;
    let mut request = question::about(token, &fleet.keys().gateway_word());
    let http = request
        .attributes
        .as_mut()
        .and_then(|all| all.request.as_mut()?.http.as_mut())
        .context("a question")?;
    if !tenant.is_empty() {
        http.headers
            .insert("x-tenant-id".to_owned(), tenant.to_owned());
    }
    let ask = Ask {
        body: request.encode_to_vec().into(),
        ..Ask::default()
    };
    let answer = CheckResponse::decode(check.once(&ask).await?)?;
    let Some(HttpResponse::OkResponse(ok)) = answer.http_response else {
        anyhow::bail!("refused");
    };
    let header = ok.headers.into_iter().find_map(|option| option.header);
    let mut metadata = MetadataMap::new();
    metadata.insert(HEADER, header.context("no assertion")?.value.parse()?);
    Ok(metadata)
}

#[tokio::main]
async fn main() -> Result<()> {
    let fleet = load::fleet().await?;
    load::tenants(&fleet, TENANTS, 0).await?;
    let token = &load::sessions(&fleet, 1, TENANTS).await?[0];
    let crowded = load::tenant(1);
    let mut connection = load::superuser(&fleet).await?;
    sqlx::query(CROWD)
        .bind(crowded)
        .bind(MEMBERS)
        .execute(&mut connection)
        .await?;
    sqlx::query(EVERYWHERE).execute(&mut connection).await?;
    sqlx::query("VACUUM ANALYZE identity.memberships")
        .execute(&mut connection)
        .await?;
    let identity = fleet.service("identity", 0);
    identity.unit().restart().await?;

    let members = List {
        target: Target::of(&fleet, "identity", LIST_MEMBERS, |_| true).await?,
        metadata: admitted(&fleet, token, &crowded.to_string()).await?,
        message: |page_token| {
            let request = wire::ListMembersRequest {
                page_size: MEMBERS_PAGE,
                page_token,
                ..Default::default()
            };
            request.encode_to_vec()
        },
        read: |answer| {
            let answer = wire::ListMembersResponse::decode(answer)?;
            Ok((answer.users.len(), answer.next_page_token))
        },
    };
    members.compare("members of a tenant").await?;
    let tenants = List {
        target: Target::of(&fleet, "identity", LIST_TENANTS, |_| true).await?,
        metadata: admitted(&fleet, token, "").await?,
        message: |page_token| {
            let request = wire::ListUserMembershipsRequest {
                user: "me".to_owned(),
                page_size: TENANTS_PAGE,
                page_token,
            };
            request.encode_to_vec()
        },
        read: |answer| {
            let answer = wire::ListUserMembershipsResponse::decode(answer)?;
            Ok((answer.memberships.len(), answer.next_page_token))
        },
    };
    tenants.compare("tenants of a user").await?;
    fleet.stop().await
}

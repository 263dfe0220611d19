//! Members move between two tenants once or not at all, whatever breaks meanwhile.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tenantry_testkit::fleet::{Fleet, FleetConfig};
use tenantry_testkit::rest::{Answer, Rest};
use tenantry_testkit::wait::until;

use crate::support::insist::insist;
use crate::support::world::{create_tenant, text};
use crate::support::{OwnFleet, unique};

const MEMBERS: i64 = 200;
/// Longest wait until a transaction waits for another.
const WAITS_WITHIN: Duration = Duration::from_secs(20);
/// Most transfers until one of them meets the broken connection: identity's own work commits too.
const TRIES: usize = 50;

/// Two tenants, the lower id first, and people who are members of one of them.
struct Pair {
    database: PgConnection,
    /// Holds locks.
    holder: PgConnection,
    operator: Rest,
    tenants: [String; 2],
    users: Vec<String>,
}

impl Pair {
    async fn create(fleet: &Fleet) -> Result<Self> {
        let operator = fleet.operator_rest()?;
        let mut tenants = [String::new(), String::new()];
        for tenant in &mut tenants {
            let body = json!({"name": unique("Pair"), "subscription_tier": "business"});
            let made = create_tenant(&operator, body).await?;
            *tenant = text(&made, "id");
        }
        tenants.sort_unstable();
        let mut database = PgConnection::connect(fleet.superuser_url().as_str()).await?;
        let users = sqlx::query_scalar(
            "WITH people AS (
                 INSERT INTO identity.users (id, email, name)
                 SELECT gen_random_uuid(), 'p' || n || '@example.com', 'p' FROM generate_series(1, $2) AS n
                 RETURNING id, email, name
             )
             INSERT INTO identity.memberships (tenant_id, user_id, email, name, roles)
             SELECT $1::uuid, id, email, name, '{member}' FROM people RETURNING user_id::text",
        )
        .bind(&tenants[0])
        .bind(MEMBERS)
        .fetch_all(&mut database)
        .await?;
        Ok(Self {
            holder: PgConnection::connect(fleet.superuser_url().as_str()).await?,
            database,
            operator,
            tenants,
            users,
        })
    }

    fn transfer(&self, from: usize) -> (String, Value) {
        let path = format!("/api/v1/tenants/{}/users:transfer", self.tenants[from]);
        let body = json!({
            "target_tenant": self.tenants[1 - from],
            "users": self.users,
            "request_id": unique("transfer"),
        });
        (path, body)
    }

    /// Sends it until it is answered, and once more.
    async fn insist(&self, path: &str, body: &Value) -> Result<()> {
        let first = insist(&self.operator, reqwest::Method::POST, path, body).await?;
        let again = insist(&self.operator, reqwest::Method::POST, path, body).await?;
        assert_eq!(first, again, "a repetition gets the first answer");
        assert_eq!(first["moved_count"], MEMBERS);
        Ok(())
    }

    /// Sends it once, and does something where all that is left to it is the second stream and the commit: the counter of
    /// that stream is held until then.
    async fn interrupted(
        &mut self,
        path: &str,
        body: &Value,
        interruption: impl Future<Output = Result<()>>,
    ) -> Result<Answer> {
        let mut held = self.holder.begin().await?;
        sqlx::query("SELECT FROM identity.outbox_counter WHERE tenant_id = $1::uuid FOR UPDATE")
            .bind(&self.tenants[1])
            .fetch_one(&mut *held)
            .await?;
        let release = async {
            someone_waits(&mut self.database).await?;
            interruption.await?;
            anyhow::Ok(held.rollback().await?)
        };
        let (answer, released) = tokio::join!(self.operator.post(path, body.clone()), release);
        released?;
        answer
    }

    /// How many members each has, and how many events tell of comings and of goings.
    async fn standing(&mut self) -> Result<[(i64, i64, i64); 2]> {
        let mut standing = [(0, 0, 0); 2];
        for (tenant, told) in self.tenants.iter().zip(&mut standing) {
            let (members, added, removed, gapless): (i64, i64, i64, bool) = sqlx::query_as(
                "SELECT (SELECT count(*) FROM identity.memberships WHERE tenant_id = $1::uuid),
                        count(*) FILTER (WHERE action = 'member.added'),
                        count(*) FILTER (WHERE action = 'member.removed'),
                        count(*) = coalesce(max(n), 0)
                 FROM identity.outbox WHERE tenant_id = $1::uuid",
            )
            .bind(tenant)
            .fetch_one(&mut self.database)
            .await?;
            assert!(gapless, "the stream of {tenant} has a gap");
            *told = (members, added, removed);
        }
        Ok(standing)
    }

    /// After so many transfers to and fro.
    async fn assert_moved(&mut self, transfers: i64) -> Result<()> {
        let [first, second] = self.standing().await?;
        let (forth, back) = ((transfers + 1) / 2 * MEMBERS, transfers / 2 * MEMBERS);
        let away = (transfers % 2) * MEMBERS;
        assert_eq!(first, (MEMBERS - away, back, forth));
        assert_eq!(second, (away, forth, back));
        Ok(())
    }
}

/// Waits until a transaction waits for another one's lock.
pub async fn someone_waits(database: &mut PgConnection) -> Result<()> {
    let waiting = "SELECT EXISTS (SELECT FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock')";
    until("waiting transaction", WAITS_WITHIN, async || {
        let waits = sqlx::query_scalar::<_, bool>(waiting)
            .fetch_one(&mut *database)
            .await?;
        Ok(waits.then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_happens_once_when_identity_is_killed_in_it_or_nobody_hears_of_its_commit()
-> Result<()> {
    let fleet = OwnFleet::start(FleetConfig {
        database_proxies: true,
        ..FleetConfig::default()
    })
    .await?;
    let mut pair = Pair::create(&fleet).await?;
    let mut transfers = 0;

    // Killed where everybody has moved and one of the two streams says so.
    let (path, body) = pair.transfer(0);
    pair.insist(&path, &body).await?;
    transfers += 1;
    pair.assert_moved(transfers).await?;
    let (path, body) = pair.transfer(1);
    let identity = fleet.service("identity", 0).unit();
    let lost = pair.interrupted(&path, &body, identity.kill_9()).await;
    if let Ok(answer) = lost {
        assert!(answer.status >= 500, "{}: {}", answer.status, answer.text);
    }
    identity.start().await?;
    pair.assert_moved(transfers).await?;
    pair.insist(&path, &body).await?;
    transfers += 1;
    pair.assert_moved(transfers).await?;

    // Committed, and the connection breaks in place of the database's word for it.
    for _ in 0..TRIES {
        let (path, body) = pair.transfer(usize::try_from(transfers % 2)?);
        let cut = async {
            fleet.database_proxy("identity").cut_reply_to_next_commit();
            Ok(())
        };
        let unheard = pair.interrupted(&path, &body, cut).await?;
        transfers += 1;
        if unheard.status != 200 {
            assert_eq!(unheard.status, 503, "{}", unheard.text);
            pair.assert_moved(transfers).await?;
        }
        pair.insist(&path, &body).await?;
        pair.assert_moved(transfers).await?;
        if unheard.status != 200 {
            return fleet.stop().await;
        }
    }
    anyhow::bail!("no transfer met the broken connection")
}

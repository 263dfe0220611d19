//! Attacks on invitations through the real gateway and two replicas: each is refused, and a link's secret is nowhere but in
//! its mail.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry_testkit::fleet::{Fleet, sign_in};
use tenantry_testkit::rest::Rest;
use tenantry_testkit::wait::until;

use crate::support::world::{PASSWORD, Party, add_user, set_status, text};
use crate::support::{fleet, unique};

/// Longest time until the gateway has written what it logs.
const LOGGED_WITHIN: Duration = Duration::from_secs(30);

/// An invitation, and the token that came by mail.
struct Invited {
    email: String,
    id: String,
    token: String,
}

async fn invite(fleet: &Fleet, by: &Rest, tenant: &str, role: &str) -> Result<Invited> {
    let email = format!("{}@example.com", unique("invited"));
    let path = format!("/api/v1/tenants/{tenant}/users/invite");
    let body = json!({"email": email, "roles": [role]});
    let made = by.post(&path, body).await?.ok()?;
    let mail = fleet.post().nth(&email, 1).await?;
    Ok(Invited {
        email,
        id: text(&made, "id"),
        token: mail.token().to_owned(),
    })
}

fn accept_path(token: &str) -> String {
    format!("/api/v1/invitations/{token}:accept")
}

fn chosen() -> Value {
    json!({"password": PASSWORD})
}

/// Whether the address is a member of the tenant.
async fn is_member(fleet: &Fleet, tenant: &str, email: &str) -> Result<bool> {
    let path = format!("/api/v1/tenants/{tenant}/users?page_size=1000");
    let page = fleet.operator_rest()?.get(&path).await?.ok()?;
    Ok(page.to_string().contains(email))
}

async fn connect(fleet: &Fleet) -> Result<PgConnection> {
    Ok(PgConnection::connect(fleet.superuser_url().as_str()).await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_address_accepts_nobodys_invitation() -> Result<()> {
    let fleet = fleet().await?;
    let (a, b) = tokio::try_join!(Party::create(fleet), Party::create(fleet))?;
    let invited = invite(fleet, &a.rest(fleet)?, &a.id, "admin").await?;
    for rest in [
        b.rest(fleet)?,
        a.rest(fleet)?,
        fleet.rest()?.bearer(&b.token),
    ] {
        let answer = rest.post(&accept_path(&invited.token), chosen()).await?;
        let told = (answer.status, answer.reason());
        assert_eq!(
            told,
            (403, "INVITATION_FOR_ANOTHER".to_owned()),
            "{}",
            answer.text
        );
    }
    // A program has no address, and a bad credential is not as if none had come.
    let path = accept_path(&invited.token);
    let by_key = b.key_rest(fleet)?.post(&path, json!({})).await?;
    assert_eq!(by_key.status, 400, "no password was chosen");
    let bad = fleet.rest()?.bearer("nonsense");
    let answer = bad.post(&accept_path(&invited.token), chosen()).await?;
    assert_eq!(
        (answer.status, answer.reason().as_str()),
        (401, "UNAUTHENTICATED")
    );
    assert!(!is_member(fleet, &a.id, &invited.email).await?);
    // Its own holder does.
    let answer = fleet.rest()?.post(&path, chosen()).await?;
    assert_eq!(text(&answer.ok()?, "tenant_id"), a.id);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_leads_to_its_own_tenant_whatever_the_request_names() -> Result<()> {
    let fleet = fleet().await?;
    let (a, b) = tokio::try_join!(Party::create(fleet), Party::create(fleet))?;
    let invited = invite(fleet, &a.rest(fleet)?, &a.id, "member").await?;
    // B's id in the place of A's is another text, which opens nothing.
    let (own, other) = (a.id.replace('-', ""), b.id.replace('-', ""));
    let spliced = invited.token.replacen(&own, &other, 1);
    assert_ne!(spliced, invited.token);
    let answer = fleet.rest()?.post(&accept_path(&spliced), chosen()).await?;
    assert_eq!(
        (answer.status, answer.reason().as_str()),
        (404, "INVITATION_NOT_FOUND")
    );
    let named = fleet
        .rest()?
        .header("x-tenant-id", &b.id)
        .header("x-tenant-slug", &b.slug);
    let member = named
        .post(&accept_path(&invited.token), chosen())
        .await?
        .ok()?;
    assert_eq!(text(&member, "tenant_id"), a.id);
    assert!(is_member(fleet, &a.id, &invited.email).await?);
    assert!(!is_member(fleet, &b.id, &invited.email).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_sixteen_who_accept_at_once_over_two_replicas_one_succeeds() -> Result<()> {
    let fleet = fleet().await?;
    let a = Party::on_plan(fleet, "basic").await?;
    let invited = invite(fleet, &a.rest(fleet)?, &a.id, "member").await?;
    // One that signs in already, so that no queue of password hashes puts them in a row.
    add_user(&fleet.operator_rest()?, &a.child, &invited.email, "viewer").await?;
    let token = sign_in(&fleet.rest()?, &invited.email, PASSWORD).await?;
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let rest = fleet.rest().map(|rest| rest.bearer(&token));
            let path = accept_path(&invited.token);
            tokio::spawn(async move { rest?.post(&path, json!({})).await })
        })
        .collect();
    let mut accepted = 0;
    for task in tasks {
        let answer = task.await??;
        match answer.status {
            200 => accepted += 1,
            _ => assert_eq!(answer.reason(), "INVITATION_NOT_FOUND", "{}", answer.text),
        }
    }
    assert_eq!(accepted, 1);
    let mut connection = connect(fleet).await?;
    let events: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM identity.outbox WHERE action = 'invitation.accepted' AND event -> 'resource' ->> 'id' = $1",
    )
    .bind(&invited.id)
    .fetch_one(&mut connection)
    .await?;
    assert_eq!(events, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_its_end_revocation_resending_or_suspension_a_link_is_dead() -> Result<()> {
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    let owner = a.rest(fleet)?;
    let invitations = format!("/api/v1/tenants/{}/users/invitations", a.id);
    let mut dead = Vec::new();

    let expired = invite(fleet, &owner, &a.id, "member").await?;
    sqlx::query(
        "UPDATE identity.invitations SET expires_at = clock_timestamp() WHERE id = $1::uuid",
    )
    .bind(&expired.id)
    .execute(&mut connect(fleet).await?)
    .await?;
    dead.push(expired.token);

    let revoked = invite(fleet, &owner, &a.id, "member").await?;
    owner
        .delete(&format!("{invitations}/{}", revoked.id))
        .await?
        .ok()?;
    dead.push(revoked.token);

    let resent = invite(fleet, &owner, &a.id, "member").await?;
    owner
        .post(&format!("{invitations}/{}:resend", resent.id), json!({}))
        .await?
        .ok()?;
    let newest = fleet.post().nth(&resent.email, 2).await?.token().to_owned();
    dead.push(resent.token);

    let mut answers = Vec::new();
    for token in &dead {
        let answer = fleet.rest()?.post(&accept_path(token), chosen()).await?;
        assert_eq!(
            (answer.status, answer.reason().as_str()),
            (404, "INVITATION_NOT_FOUND")
        );
        answers.push(answer.text);
        let offer = fleet
            .rest()?
            .get(&format!("/api/v1/invitations/{token}"))
            .await?;
        assert_eq!(
            (offer.status, offer.reason().as_str()),
            (404, "INVITATION_NOT_FOUND")
        );
    }
    set_status(fleet, &a.id, "suspended").await?;
    let refused = async || {
        let answer = fleet
            .rest()?
            .get(&format!("/api/v1/invitations/{newest}"))
            .await?;
        anyhow::Ok(answer.status == 404)
    };
    let began = std::time::Instant::now();
    while !refused().await? {
        assert!(
            began.elapsed().as_secs() < 1,
            "suspension is felt within a second"
        );
    }
    let answer = fleet.rest()?.post(&accept_path(&newest), chosen()).await?;
    assert_eq!(answer.status, 404);
    answers.push(answer.text);
    answers.dedup();
    assert_eq!(answers.len(), 1, "one and the same answer: {answers:?}");
    Ok(())
}

/// Every row of every table of the services, in one text.
async fn dump(fleet: &Fleet) -> Result<String> {
    let mut connection = connect(fleet).await?;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables
         WHERE table_schema IN ('registry', 'identity') AND table_type = 'BASE TABLE' ORDER BY 1",
    )
    .fetch_all(&mut connection)
    .await?;
    let mut all = String::new();
    for table in tables {
        let sql = format!("SELECT coalesce(string_agg(t::text, E'\\n'), '') FROM {table} AS t");
        let rows: String = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&mut connection)
            .await?;
        all.push_str(&rows);
    }
    Ok(all)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_secret_of_a_link_is_in_its_mail_and_nowhere_else() -> Result<()> {
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    let owner = a.rest(fleet)?;
    let email = format!("{}@example.com", unique("secret"));
    let users = format!("/api/v1/tenants/{}/users", a.id);
    let body = json!({"email": email, "roles": ["viewer"], "request_id": unique("once")});
    let mut answers = Vec::new();
    for _ in 0..2 {
        let answer = owner.post(&format!("{users}/invite"), body.clone()).await?;
        answers.push(answer.text);
    }
    let made: Value = serde_json::from_str(&answers[0])?;
    let one = format!("{users}/invitations/{}", text(&made, "id"));
    let first = fleet.post().nth(&email, 1).await?.token().to_owned();
    answers.push(owner.post(&format!("{one}:resend"), json!({})).await?.text);
    let second = fleet.post().nth(&email, 2).await?.token().to_owned();
    answers.push(owner.get(&one).await?.text);
    answers.push(owner.get(&format!("{users}/invitations")).await?.text);
    let link = format!("/api/v1/invitations/{second}");
    answers.push(fleet.rest()?.get(&link).await?.text);
    answers.push(
        fleet
            .rest()?
            .post(&accept_path(&first), chosen())
            .await?
            .text,
    );
    let accepted = json!({"password": PASSWORD, "request_id": unique("once")});
    for _ in 0..2 {
        let answer = fleet
            .rest()?
            .post(&accept_path(&second), accepted.clone())
            .await?;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answers.push(answer.text);
    }
    answers.push(dump(fleet).await?);
    // The gateway logs the requests, by the RPC's path alone, when its buffer is full or ten seconds old.
    until("line of the gateway's log", LOGGED_WITHIN, async || {
        let log = std::fs::read_to_string(fleet.envoy().unit().log()).context("Envoy's log")?;
        let logged = log.contains("InvitationService/AcceptInvitation");
        Ok(logged.then_some(()))
    })
    .await?;
    for unit in fleet.units() {
        answers.push(std::fs::read_to_string(unit.log()).unwrap_or_default());
    }
    for token in [&first, &second] {
        let secret = token.split('_').nth(3).context("a secret")?;
        let in_hex: String = secret.bytes().map(|b| format!("{b:02x}")).collect();
        for text in &answers {
            assert!(!text.contains(secret) && !text.contains(&in_hex));
        }
    }
    Ok(())
}

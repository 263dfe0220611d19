//! Sign-up over the whole fleet: who signs up is the owner at once, of one tenant, whatever is asked or killed meanwhile.

use std::time::Duration;

use anyhow::Result;
use futures::future::try_join_all;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tenantry_testkit::fleet::{Fleet, FleetConfig, sign_in};
use tenantry_testkit::rest::Rest;
use tenantry_testkit::wait::until;

use crate::crash_transfer::someone_waits;
use crate::support::insist::insist;
use crate::support::world::{PASSWORD, Party, add_user, create_tenant, text};
use crate::support::{OwnFleet, fleet, unique};

const PATH: &str = "/api/v1/organizations";
/// Longest time until a replica ends what another one left.
const ENDED_WITHIN: Duration = Duration::from_secs(60);

/// A person with a password of their own who belongs nowhere.
struct Person {
    id: String,
    email: String,
    rest: Rest,
}

impl Person {
    async fn create(fleet: &Fleet) -> Result<Self> {
        let operator = fleet.operator_rest()?;
        let seed = create_tenant(&operator, json!({"name": unique("Seed")})).await?;
        let email = format!("{}@example.com", unique("person"));
        let id = add_user(&operator, &text(&seed, "id"), &email, "member").await?;
        let seat = format!("/api/v1/tenants/{}/users/{id}", text(&seed, "id"));
        operator.delete(&seat).await?.ok()?;
        let token = sign_in(&fleet.rest()?, &email, PASSWORD).await?;
        Ok(Self {
            id,
            email,
            rest: fleet.rest()?.bearer(&token),
        })
    }
}

fn body(name: &str) -> Value {
    json!({"name": name, "slug": name.to_lowercase(), "request_id": unique("sign-up")})
}

/// Who did it first to a tenant, by one service's log.
async fn actor(
    database: &mut PgConnection,
    schema: &str,
    tenant: &str,
) -> Result<(String, String)> {
    let sql = format!(
        "SELECT event->'actor'->>'id', event->'origin'->>'ip' FROM {schema}.outbox WHERE tenant_id = $1::uuid AND n = 1"
    );
    let told = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(tenant);
    Ok(told.fetch_one(database).await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_signs_up_owns_the_tenant_at_once_and_did_it_themselves() -> Result<()> {
    let fleet = fleet().await?;
    let person = Person::create(fleet).await?;
    let body = body(&unique("Acme"));
    let made = person.rest.post(PATH, body.clone()).await?;
    let again = person.rest.post(PATH, body.clone()).await?;
    assert_eq!((made.status, &made.text), (200, &again.text));
    let made = made.ok()?;
    assert_eq!(
        (
            text(&made, "status"),
            text(&made, "subscription_tier"),
            text(&made, "email")
        ),
        ("active".to_owned(), "free".to_owned(), person.email.clone())
    );
    let id = text(&made, "id");
    // Every replica knows, whichever is asked, and without being told which tenant.
    let current = (0..8).map(|_| person.rest.get("/api/v1/organizations/current"));
    for answer in try_join_all(current).await? {
        assert_eq!(text(&answer.ok()?, "id"), id);
    }
    let rename = json!({"name": "Renamed"});
    let renamed = person
        .rest
        .patch(&format!("{PATH}/{id}"), rename)
        .await?
        .ok()?;
    assert_eq!(renamed["name"], "Renamed");
    let members = person
        .rest
        .get(&format!("{PATH}/{id}/members"))
        .await?
        .ok()?;
    assert_eq!(members["users"][0]["roles"], json!(["owner"]));
    assert_eq!(members["users"].as_array().map(Vec::len), Some(1));
    let mut database = PgConnection::connect(fleet.superuser_url().as_str()).await?;
    for schema in ["registry", "identity"] {
        let (who, from) = actor(&mut database, schema, &id).await?;
        assert_eq!(who, person.id, "{schema}");
        assert!(!from.is_empty(), "{schema}");
    }
    let other = json!({"name": "Other", "request_id": body["request_id"]});
    assert_eq!(
        person.rest.post(PATH, other).await?.reason(),
        "REQUEST_ID_REUSED"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_requests_at_once_make_one_tenant() -> Result<()> {
    let fleet = fleet().await?;
    let person = Person::create(fleet).await?;
    let body = body(&unique("Equal"));
    let answers = try_join_all((0..12).map(|_| person.rest.post(PATH, body.clone()))).await?;
    let first = &answers[0];
    assert_eq!(first.status, 200, "{}", first.text);
    assert!(answers.iter().all(|answer| answer.text == first.text));
    let own = person
        .rest
        .get("/api/v1/users/me/memberships")
        .await?
        .ok()?;
    assert_eq!(own["memberships"].as_array().map(Vec::len), Some(1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_people_with_one_slug_one_wins_and_the_other_is_left_with_nothing() -> Result<()> {
    let fleet = fleet().await?;
    let people = [Person::create(fleet).await?, Person::create(fleet).await?];
    let name = unique("Race");
    let tries = people
        .iter()
        .map(|person| person.rest.post(PATH, body(&name)));
    let answers = try_join_all(tries).await?;
    let mut outcomes: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, [200, 409]);
    for (person, answer) in people.iter().zip(answers) {
        let own = person
            .rest
            .get("/api/v1/users/me/memberships")
            .await?
            .ok()?;
        let own = own["memberships"].as_array().map_or(0, Vec::len);
        if answer.status == 200 {
            assert_eq!(own, 1);
        } else {
            assert_eq!((answer.reason().as_str(), own), ("SLUG_TAKEN", 0));
            person.rest.post(PATH, body(&unique("Race"))).await?.ok()?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_that_is_closed_lets_nobody_in() -> Result<()> {
    let fleet = fleet().await?;
    let operator = fleet.operator_rest()?;
    let person = Person::create(fleet).await?;
    let project = unique("project");
    operator
        .post("/api/v1/projects", json!({"key": project}))
        .await?
        .ok()?;
    let sign_up = || {
        person
            .rest
            .post(PATH, json!({"name": "Acme", "project": project}))
    };
    let made = sign_up().await?.ok()?;
    assert_eq!(made["project"], project.as_str());
    let close = json!({"sign_up": "closed"});
    operator
        .patch(&format!("/api/v1/projects/{project}"), close)
        .await?
        .ok()?;
    let refused = sign_up().await?;
    assert_eq!(
        (refused.status, refused.reason().as_str()),
        (403, "SIGN_UP_CLOSED")
    );
    let absent = json!({"name": "Acme", "project": unique("absent")});
    let absent = person.rest.post(PATH, absent).await?;
    assert_eq!(
        (absent.status, absent.reason().as_str()),
        (403, "SIGN_UP_CLOSED"),
        "which projects there are isn't anyone's to learn"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_belongs_nowhere_signs_up_in_the_project_of_the_host_that_they_come_to()
-> Result<()> {
    let fleet = fleet().await?;
    let operator = fleet.operator_rest()?;
    let person = Person::create(fleet).await?;
    let (project, slug) = (unique("project"), unique("acme"));
    let made = operator.post("/api/v1/projects", json!({"key": project}));
    made.await?.ok()?;
    let there = json!({"name": "Acme", "slug": slug, "project": project});
    let there = text(&create_tenant(&operator, there).await?, "id");
    let domains = format!("/api/v1/tenants/{there}/domains");
    let domains = operator.get(&domains).await?.ok()?;
    let host = text(&domains["domains"][0], "domain");
    for host in [host.clone(), host.replacen(&slug, &unique("absent"), 1)] {
        let at_host = person.rest.clone().header("host", &host);
        let made = at_host.post(PATH, body(&unique("Own"))).await?.ok()?;
        assert_eq!(made["project"], project.as_str(), "{host}");
        let second = at_host.header("x-project", "default");
        let refused = second.post(PATH, body(&unique("Own"))).await?;
        assert_eq!(refused.reason(), "TENANT_CONFLICT", "{host}");
    }
    // Where the host says none the header does, also to who belongs somewhere by now, and the message may say no other.
    let asked = person.rest.clone().header("x-project", &project);
    let made = asked.post(PATH, body(&unique("Own"))).await?.ok()?;
    assert_eq!(made["project"], project.as_str());
    let other = json!({"name": unique("Own"), "project": "default"});
    let refused = asked.post(PATH, other).await?;
    assert_eq!(refused.reason(), "TENANT_CONFLICT");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_in_a_day_are_five_however_many_ask_at_once() -> Result<()> {
    let fleet = fleet().await?;
    let person = Person::create(fleet).await?;
    let tries = (0..15).map(|_| person.rest.post(PATH, body(&unique("Many"))));
    let answers = try_join_all(tries).await?;
    assert_eq!(
        answers.iter().filter(|answer| answer.status == 200).count(),
        5
    );
    for over in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!(
            (over.status, over.reason().as_str()),
            (429, "SIGN_UP_LIMIT_REACHED")
        );
        assert!(over.header("retry-after").parse::<u32>()? > 80_000);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_sign_up_for_nothing_and_an_organization_is_a_tenant_by_another_word() -> Result<()>
{
    let fleet = fleet().await?;
    let party = Party::create(fleet).await?;
    let key = party.key_rest(fleet)?;
    let refused = key.post(PATH, json!({"name": "Acme"})).await?;
    assert_eq!(
        (refused.status, refused.reason().as_str()),
        (403, "PERMISSION_DENIED")
    );
    let nobody = fleet.rest()?.post(PATH, json!({"name": "Acme"})).await?;
    assert_eq!(nobody.status, 401);
    let (owner, operator) = (party.rest(fleet)?, fleet.operator_rest()?);
    let tenant = format!("/api/v1/tenants/{}", party.id);
    let organization = format!("{PATH}/{}", party.id);
    assert_eq!(
        owner.get(&tenant).await?.text,
        owner.get(&organization).await?.text
    );
    let plan = json!({"plan": "business"});
    let own = owner
        .patch(&format!("{organization}/subscription"), plan.clone())
        .await?;
    assert_eq!(
        own.reason(),
        "PERMISSION_DENIED",
        "the plan is the platform's to change"
    );
    let moved = operator
        .patch(&format!("{organization}/subscription"), plan)
        .await?
        .ok()?;
    assert_eq!(moved["subscription_tier"], "business");
    Ok(())
}

/// The tenants that a person owns, once there is one.
async fn owned(database: &mut PgConnection, person: &str) -> Result<Vec<String>> {
    until("owner", ENDED_WITHIN, async || {
        let owned: Vec<String> = sqlx::query_scalar(
            "SELECT tenant_id::text FROM identity.memberships WHERE user_id = $1::uuid AND roles = '{owner}'",
        )
        .bind(person)
        .fetch_all(&mut *database)
        .await?;
        Ok((!owned.is_empty()).then_some(owned))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_up_comes_to_its_end_when_identity_or_registry_is_killed_in_it() -> Result<()> {
    let fleet = OwnFleet::start(FleetConfig::default()).await?;
    let mut database = PgConnection::connect(fleet.superuser_url().as_str()).await?;
    let mut holder = PgConnection::connect(fleet.superuser_url().as_str()).await?;

    // Identity dies where registry has made the tenant and nobody owns it: no membership can be written until then.
    let ann = Person::create(&fleet).await?;
    let body_of_ann = body(&unique("Ann"));
    let mut held = holder.begin().await?;
    sqlx::query("LOCK TABLE identity.memberships IN EXCLUSIVE MODE")
        .execute(&mut *held)
        .await?;
    let identity = fleet.service("identity", 0).unit();
    let killed = async {
        someone_waits(&mut database).await?;
        identity.kill_9().await
    };
    let (lost, killed) = tokio::join!(ann.rest.post(PATH, body_of_ann.clone()), killed);
    killed?;
    if let Ok(answer) = lost {
        assert!(answer.status >= 500, "{}: {}", answer.status, answer.text);
    }
    let made: Vec<String> =
        sqlx::query_scalar("SELECT tenant_id::text FROM registry.tenants WHERE slug = $1")
            .bind(text(&body_of_ann, "slug"))
            .fetch_all(&mut database)
            .await?;
    assert_eq!(made.len(), 1, "registry has done its part");
    held.rollback().await?;
    identity.start().await?;
    assert_eq!(
        owned(&mut database, &ann.id).await?,
        made,
        "nobody asked again"
    );
    let told = insist(&ann.rest, Method::POST, PATH, &body_of_ann).await?;
    assert_eq!(text(&told, "id"), made[0]);

    // Registry is away: the person is told so, and has the tenant once it is back.
    let bob = Person::create(&fleet).await?;
    let body_of_bob = body(&unique("Bob"));
    let registry = fleet.service("registry", 0).unit();
    registry.kill_9().await?;
    let away = bob.rest.post(PATH, body_of_bob.clone()).await?;
    assert_eq!((away.status, away.reason().as_str()), (503, "UNAVAILABLE"));
    registry.start().await?;
    let owned = owned(&mut database, &bob.id).await?;
    let told = insist(&bob.rest, Method::POST, PATH, &body_of_bob).await?;
    assert_eq!(owned, [text(&told, "id")]);

    // Whatever happened, each tenant has its owner, and each owner came once.
    let odd: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM identity.sign_ups s WHERE state <> 'done' OR 1 <> (
             SELECT count(*) FROM identity.outbox o WHERE o.tenant_id = s.tenant_id AND action = 'member.added')",
    )
    .fetch_one(&mut database)
    .await?;
    assert_eq!(odd, 0);
    fleet.stop().await
}

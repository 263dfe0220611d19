//! Isolation: what is another tenant's answers exactly like what doesn't exist, for every RPC, every credential and both
//! ways in; and B's rows don't move.

use std::collections::BTreeSet;

use anyhow::Result;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry_testkit::fleet::Fleet;
use tenantry_testkit::oidc_provider::OidcProvider;
use tenantry_testkit::rest::Rest;
use tonic::transport::Channel;

use crate::matrix::{Class, attempts, rows};
use crate::support::dynamic::{gateway_channel, gateway_methods, native, rest};
use crate::support::external::Provider;
use crate::support::world::{Party, create_tenant, set_status, text};
use crate::support::{fleet, unique};

/// Attacks that are under way at once, each with tenants of its own.
const AT_ONCE: usize = 4;

#[test]
fn every_rpc_of_the_gateway_has_a_row() {
    let listed = rows();
    let rows: BTreeSet<&str> = listed.iter().map(|(path, _)| *path).collect();
    let methods: BTreeSet<&str> = gateway_methods().iter().map(|m| m.path).collect();
    assert_eq!(
        rows, methods,
        "each RPC of the gateway needs a row in matrix/, and each row an RPC"
    );
}

/// One of A's credentials, in each form that a call takes it.
struct Credential {
    name: &'static str,
    header: (&'static str, String),
    rest: Rest,
}

impl Credential {
    fn bearer(fleet: &Fleet, name: &'static str, token: &str) -> Result<Self> {
        Ok(Self {
            name,
            header: ("authorization", format!("Bearer {token}")),
            rest: fleet.rest()?.bearer(token),
        })
    }
}

fn credentials(fleet: &Fleet, party: &Party) -> Result<Vec<Credential>> {
    Ok(vec![
        Credential::bearer(fleet, "user", &party.token)?,
        Credential {
            name: "key",
            header: ("x-api-key", party.key.clone()),
            rest: party.key_rest(fleet)?,
        },
    ])
}

/// A session of someone who owns both tenants, and signed in at a provider that speaks for A alone.
async fn bound_session(
    fleet: &Fleet,
    at: &OidcProvider,
    a: &Party,
    b: &Party,
) -> Result<Credential> {
    let provider = Provider::create(fleet, a, at, "owner").await?;
    let token = provider.sign_in(fleet, at, &unique("ann")).await?;
    let bound = Credential::bearer(fleet, "bound session", &token)?;
    let me = bound.rest.get("/api/v1/auth/me").await?.ok()?;
    let seat = format!("/api/v1/tenants/{}/users/{}", b.id, text(&me, "id"));
    let owner = json!({"roles": ["owner"]});
    fleet.operator_rest()?.post(&seat, owner).await?.ok()?;
    Ok(bound)
}

/// Tables whose rows go by themselves: a mail once it is sent, a stream once the log has it. That a mail was added shows in the
/// count of a day's.
const WAITS: &[&str] = &["mails", "relay_held"];

/// Columns that move by themselves: numbers for followers, and what became of a mail.
const MOVE: &[&str] = &["feed_n", "mail_state", "mail_state_at"];

/// All but what B's own requests add up to, which comes into the log a few seconds behind them.
const OWN_REQUESTS: &str = "coalesce(to_jsonb(t) ->> 'kind', '') <> 'requests'
    AND NOT (to_jsonb(t) ? 'minutes' AND to_jsonb(t) ->> 'resource_type' = 'api_calls')";

/// Everything that is stored of B's tree, in one text: rows, outbox and counters of registry, identity and quota; and of audit,
/// whose log grows by what the others wrote before, what it writes itself.
async fn stored(fleet: &Fleet, b: &Party) -> Result<String> {
    // Who was just added is still being told to quota.
    crate::seats::told_of(fleet, &b.id).await?;
    let mut connection = PgConnection::connect(fleet.superuser_url().as_str()).await?;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.columns
         WHERE column_name = 'tenant_id' AND NOT table_name = ANY ($1)
           AND (table_schema IN ('registry', 'identity', 'quota') OR table_schema = 'audit' AND table_name IN ('outbox', 'outbox_counter'))
         ORDER BY 1",
    )
    .bind(WAITS)
    .fetch_all(&mut connection)
    .await?;
    assert!(tables.len() >= 8, "the services' tables: {tables:?}");
    let mut all = String::new();
    for table in tables {
        let sql = format!(
            "SELECT coalesce(string_agg(kept, ',' ORDER BY kept), '') \
             FROM {table} AS t, LATERAL (SELECT (to_jsonb(t) - $3)::text AS kept) AS row \
             WHERE tenant_id IN ($1::uuid, $2::uuid) AND {OWN_REQUESTS}"
        );
        let rows: String = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(&b.id)
            .bind(&b.child)
            .bind(MOVE)
            .fetch_one(&mut connection)
            .await?;
        all.push_str(&format!("{table}: {rows}\n"));
    }
    Ok(all)
}

async fn attack(
    fleet: &Fleet,
    channel: &Channel,
    path: &str,
    intruders: Vec<Credential>,
    (a, b): (&Party, &Party),
) -> Result<()> {
    let method = tenantry_proto::methods::find(path).unwrap();
    let attempts = attempts(fleet, path, a, b).await?;
    for credential in intruders {
        let before = stored(fleet, b).await?;
        let header = [(credential.header.0, credential.header.1.as_str())];
        for attempt in &attempts {
            let what = format!(
                "{path} by A's {} with B's {}",
                credential.name, attempt.what
            );
            let foreign = native(channel, path, &attempt.at_b, &header).await?;
            let absent = native(channel, path, &attempt.at_absent, &header).await?;
            assert_eq!(foreign.bytes(), absent.bytes(), "{what}, natively");
            // A list that is narrowed may find nothing.
            if !matches!(attempt.what, "filter" | "text") {
                assert!(!foreign.is_ok(), "{what} succeeded: {:?}", foreign.messages);
            }
            for binding in method.bindings {
                let foreign = rest(&credential.rest, binding, &attempt.at_b).await?;
                let absent = rest(&credential.rest, binding, &attempt.at_absent).await?;
                assert_eq!(
                    (foreign.status, &foreign.text),
                    (absent.status, &absent.text),
                    "{what}, {binding:?}"
                );
            }
            // The tenant named by header, the message left to say what it says.
            for named in [
                ("x-tenant-id", b.id.as_str()),
                ("x-tenant-slug", b.slug.as_str()),
            ] {
                let headers = [header[0], named];
                let foreign = native(channel, path, &attempt.at_b, &headers).await?;
                assert!(
                    !foreign.is_ok(),
                    "{what} and {named:?} succeeded: {:?}",
                    foreign.messages
                );
            }
        }
        assert_eq!(
            stored(fleet, b).await?,
            before,
            "{path} by A's {} changed B",
            credential.name
        );
    }
    control(channel, path, b, &attempts).await
}

/// The same requests by B's own credential succeed, so the refusals above were not for their form.
async fn control(
    channel: &Channel,
    path: &str,
    b: &Party,
    attempts: &[crate::matrix::Attempt],
) -> Result<()> {
    for attempt in attempts.iter().filter(|attempt| attempt.control) {
        let authorization = format!("Bearer {}", b.token);
        let mut headers = vec![("authorization", authorization.as_str())];
        // Natively only a header can say that a child is meant.
        let named = attempt.at_b["tenant"].as_str().unwrap_or_default();
        if !named.is_empty() && named != b.slug {
            headers.push(("x-tenant-id", named));
        }
        let own = native(channel, path, &attempt.at_b, &headers).await?;
        assert!(
            own.is_ok(),
            "{path} by B itself with its {}: {:?}",
            attempt.what,
            own.status
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_id_is_answered_exactly_like_an_absent_one() -> Result<()> {
    let fleet = fleet().await?;
    let channel = gateway_channel(fleet).await?;
    let at = OidcProvider::start().await?;
    let rows = rows();
    let of_tenants = rows.iter().filter(|(_, class)| *class == Class::Tenant);
    let attacks = of_tenants.map(|(path, _)| async {
        let (a, b) = tokio::try_join!(Party::create(fleet), Party::create(fleet))?;
        // Who was just added is still being told to quota.
        crate::seats::told_of(fleet, &b.id).await?;
        let mut intruders = credentials(fleet, &a)?;
        intruders.push(bound_session(fleet, &at, &a, &b).await?);
        attack(fleet, &channel, path, intruders, (&a, &b)).await
    });
    let attacks = stream::iter(attacks).buffer_unordered(AT_ONCE);
    attacks.try_collect().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_s_people_and_programs_are_no_operators() -> Result<()> {
    let fleet = fleet().await?;
    let channel = gateway_channel(fleet).await?;
    let a = Party::create(fleet).await?;
    for (path, _) in rows().iter().filter(|(_, class)| *class == Class::Operator) {
        for credential in credentials(fleet, &a)? {
            let answer = native(
                &channel,
                path,
                &json!({}),
                &[(credential.header.0, &credential.header.1)],
            )
            .await?;
            assert_eq!(
                answer.status.code(),
                tonic::Code::PermissionDenied,
                "{path} by a {}",
                credential.name
            );
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_credential_only_the_public_methods_answer() -> Result<()> {
    let fleet = fleet().await?;
    let channel = gateway_channel(fleet).await?;
    for (path, class) in &rows() {
        let answer = native(&channel, path, &json!({}), &[]).await?;
        // Public methods may refuse what they are given, but not for want of a credential at the gateway.
        let refused = answer.status.code() == tonic::Code::Unauthenticated
            && answer.status.message().contains("X-API-Key");
        assert_eq!(
            refused,
            *class != Class::Public,
            "{path}: {:?}",
            answer.status
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_can_t_be_reached_around_the_gateway() -> Result<()> {
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    for service in fleet.services() {
        let channel = crate::support::dynamic::channel(service.address()).await?;
        for (path, class) in &rows() {
            // As in `/tenantry.registry.v1.TenantService/GetTenant`.
            let owner = path.split('.').nth(1).unwrap_or_default();
            if owner != service.name() || *class == Class::Public {
                continue;
            }
            let token = format!("Bearer {}", a.token);
            for header in [
                ("authorization", token.as_str()),
                ("x-api-key", &a.key),
                ("x-tenantry-assertion", &a.token),
            ] {
                let answer = native(&channel, path, &json!({}), &[header]).await?;
                assert_eq!(
                    answer.status.code(),
                    tonic::Code::Unauthenticated,
                    "{path} with {}",
                    header.0
                );
            }
        }
        println!(
            "{} replica {} refused all",
            service.name(),
            service.replica()
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_shows_no_more_than_single_reads_do() -> Result<()> {
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    let operator = fleet.operator_rest()?;
    let body = json!({"name": unique("Grandchild"), "parent_id": a.child});
    let grandchild = create_tenant(&operator, body).await?;
    let grandchild = grandchild["id"].as_str().unwrap_or_default().to_owned();
    let ids = async |rest: &Rest, query: &str| {
        let list = rest.get(&format!("/api/v1/tenants{query}")).await?;
        let list = list.json();
        let tenants = list["tenants"].as_array().cloned().unwrap_or_default();
        anyhow::Ok(
            tenants
                .iter()
                .filter_map(|t| Some(t["id"].as_str()?.to_owned()))
                .collect::<BTreeSet<_>>(),
        )
    };
    // A key acts in one tenant.
    assert_eq!(
        ids(&a.key_rest(fleet)?, "").await?,
        BTreeSet::from([a.id.clone()])
    );
    // A person reaches down, but not below a tenant out of use.
    let owner = a.rest(fleet)?;
    assert!(ids(&owner, "").await?.contains(&grandchild));
    set_status(fleet, &a.child, "suspended").await?;
    let below = format!("?parent={}", a.child);
    for query in ["", &below, &format!("{below}&subtree=true")] {
        assert!(!ids(&owner, query).await?.contains(&grandchild), "{query}");
    }
    assert!(
        ids(&operator, &below).await?.contains(&grandchild),
        "an operator sees it"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_s_slug_is_of_the_project_that_the_request_names() -> Result<()> {
    let fleet = fleet().await?;
    let operator = fleet.operator_rest()?;
    let (project, slug) = (unique("project"), unique("same"));
    operator
        .post("/api/v1/projects", json!({"key": project}))
        .await?
        .ok()?;
    let mut made = Vec::new();
    for project in ["default", &project] {
        let body = json!({"name": "Same", "slug": slug, "project": project});
        made.push(create_tenant(&operator, body).await?["id"].clone());
    }
    let channel = gateway_channel(fleet).await?;
    let path = "/tenantry.registry.v1.TenantService/GetTenant";
    let key = ("x-api-key", fleet.operator().token.as_str());
    let plain = native(&channel, path, &json!({"tenant": slug}), &[key]).await?;
    assert_eq!(plain.messages[0]["id"], made[0]);
    let named = native(
        &channel,
        path,
        &json!({"tenant": slug}),
        &[key, ("x-project", &project)],
    )
    .await?;
    assert_eq!(named.messages[0]["id"], made[1]);
    Ok(())
}

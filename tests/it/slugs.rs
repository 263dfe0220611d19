//! Slugs that aren't what they look like, or are somebody else's: refused wherever one can be given, and nothing is written.

use anyhow::Result;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tenantry_testkit::fleet::Fleet;
use tenantry_testkit::rest::Answer;
use tonic_types::StatusExt as _;

use crate::support::dynamic::{Native, gateway_channel, native};
use crate::support::world::{Party, create_tenant, text};
use crate::support::{fleet, unique};

const CREATE: &str = "/tenantry.registry.v1.TenantService/CreateTenant";
const UPDATE: &str = "/tenantry.registry.v1.TenantService/UpdateTenant";

/// No slugs, and how each deceives.
const DECEPTIVE: &[(&str, &str)] = &[
    ("one Cyrillic letter", "\u{430}cme-corp"),
    ("all Cyrillic", "\u{430}\u{440}\u{440}\u{4cf}\u{435}"),
    ("one Greek letter", "acme-c\u{3bf}rp"),
    ("full width", "\u{ff41}\u{ff43}\u{ff4d}\u{ff45}"),
    ("mathematical", "\u{1d41a}\u{1d41c}\u{1d426}\u{1d41e}"),
    ("a Kelvin sign", "\u{212a}elvin"),
    ("a long s", "acme-\u{17f}ales"),
    ("an i without its dot", "acme-\u{131}nc"),
    ("an accent", "caf\u{e9}"),
    ("a combining accent", "cafe\u{301}"),
    ("nothing to see", "ac\u{200b}me"),
    ("a joiner", "ac\u{200d}me"),
    ("a soft hyphen", "ac\u{ad}me"),
    ("text from the right", "\u{202e}emca"),
    ("another dash", "acme\u{2010}corp"),
    ("a minus", "acme\u{2212}corp"),
    ("digits of another script", "acme-\u{661}\u{662}"),
    ("encoded letters", "xn--80ak6aa92e"),
    ("encoded nothing", "xn--acme"),
    ("an encoding to come", "zz--acme"),
    ("a dash before", "-acme"),
    ("a dash behind", "acme-"),
    ("dashes alone", "---"),
    ("a capital", "Acme"),
    ("capitals of a reserved word", "ADMIN"),
    ("a blank", "ac me"),
    ("a blank before", " acme"),
    ("a line's end", "acme\n"),
    ("a dot", "acme.corp"),
    ("a line below", "acme_corp"),
    ("a path", "acme/users"),
    ("a way up", "../acme"),
    ("a verb", "acme:undelete"),
    ("an encoded slash", "acme%2fusers"),
    ("too short", "ab"),
    ("a UUID", "01900000-0000-7000-8000-000000000001"),
    ("a UUID without dashes", "01900000000070008000000000000001"),
];

/// Words of the platform, and of its paths.
const RESERVED: &[&str] = &[
    "admin", "api", "auth", "current", "default", "docs", "login", "operator", "platform", "root",
    "support", "system", "tenantry", "www",
];

/// The reason of a refusal that names the slug as what is wrong.
fn refused(answer: &Answer) -> String {
    assert!(
        (400..500).contains(&answer.status),
        "{} {}",
        answer.status,
        answer.text
    );
    let details = answer.json()["details"].to_string();
    let taken = answer.reason() == "SLUG_TAKEN";
    assert!(taken || details.contains("\"slug\""), "{}", answer.text);
    answer.reason()
}

fn refused_natively(answer: &Native) -> String {
    let details = answer.status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone());
    reason.unwrap_or_else(|| panic!("{:?}", answer.status))
}

/// Every way to give a tenant of a project a slug: by REST and natively, of a new one and of one that there is.
struct Ways<'a> {
    fleet: &'a Fleet,
    project: String,
    tenant: Value,
}

impl<'a> Ways<'a> {
    async fn new(fleet: &'a Fleet) -> Result<Self> {
        let operator = fleet.operator_rest()?;
        let project = unique("slugs");
        let body = json!({"key": project});
        operator.post("/api/v1/projects", body).await?.ok()?;
        let body = json!({"name": "First", "slug": "first-of-all", "project": project});
        let tenant = create_tenant(&operator, body).await?;
        Ok(Self {
            fleet,
            project,
            tenant,
        })
    }

    /// Tries a slug in each way; the reason must be the same in all.
    async fn refuse(&self, what: &str, slug: &str, reason: &str) -> Result<()> {
        let operator = self.fleet.operator_rest()?;
        let path = format!("/api/v1/tenants/{}", text(&self.tenant, "id"));
        let create = json!({"name": "Other", "slug": slug, "project": self.project});
        let update = json!({"slug": slug});
        let masked = json!({"slug": slug, "update_mask": "slug"});
        for answer in [
            operator.post("/api/v1/tenants", create.clone()).await?,
            operator.patch(&path, update.clone()).await?,
            operator.put(&path, update).await?,
            operator.patch(&path, masked).await?,
        ] {
            assert_eq!(refused(&answer), reason, "{what}: {}", answer.text);
        }
        let channel = gateway_channel(self.fleet).await?;
        let bearer = format!("Bearer {}", self.fleet.operator().token);
        let headers = [("authorization", bearer.as_str())];
        let update = json!({"tenant": text(&self.tenant, "id"), "slug": slug});
        for (method, message) in [(CREATE, create), (UPDATE, update)] {
            let answer = native(&channel, method, &message, &headers).await?;
            assert_eq!(refused_natively(&answer), reason, "{what}: {method}");
        }
        Ok(())
    }

    /// What is written of the project: its tenants, deleted ones too, and every slug that was ever taken there.
    async fn written(&self) -> Result<(Vec<Value>, Vec<String>)> {
        let path = format!(
            "/api/v1/tenants?project={}&show_deleted=true&order_by=slug",
            self.project
        );
        let page = self.fleet.operator_rest()?.get(&path).await?.ok()?;
        let tenants = page["tenants"].as_array().cloned().unwrap_or_default();
        let mut database = PgConnection::connect(self.fleet.superuser_url().as_str()).await?;
        let slugs =
            sqlx::query_scalar("SELECT slug FROM registry.slugs WHERE project = $1 ORDER BY 1")
                .bind(&self.project)
                .fetch_all(&mut database)
                .await?;
        Ok((tenants, slugs))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slug_that_looks_like_another_or_belongs_to_the_platform_is_refused() -> Result<()> {
    let ways = Ways::new(fleet().await?).await?;
    let before = ways.written().await?;
    for (what, slug) in DECEPTIVE {
        ways.refuse(what, slug, "INVALID_ARGUMENT").await?;
    }
    ways.refuse("too long", &"a".repeat(64), "INVALID_ARGUMENT")
        .await?;
    for word in RESERVED {
        ways.refuse(word, word, "SLUG_RESERVED").await?;
    }
    assert_eq!(ways.written().await?, before, "nothing was written");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slug_that_is_or_was_another_tenants_is_refused() -> Result<()> {
    let ways = Ways::new(fleet().await?).await?;
    let operator = ways.fleet.operator_rest()?;
    let tenant = async |name: &str, slug: &str| {
        let body = json!({"name": name, "slug": slug, "project": ways.project});
        create_tenant(&operator, body).await
    };
    let path = |tenant: &Value| format!("/api/v1/tenants/{}", text(tenant, "id"));
    tenant("Living", "living-one").await?;
    let deleted = tenant("Deleted", "deleted-one").await?;
    operator.delete(&path(&deleted)).await?.ok()?;
    let renamed = tenant("Renamed", "former-name").await?;
    let body = json!({"slug": "later-name"});
    operator.patch(&path(&renamed), body).await?.ok()?;
    let before = ways.written().await?;
    for slug in ["living-one", "deleted-one", "former-name", "later-name"] {
        ways.refuse(slug, slug, "SLUG_TAKEN").await?;
    }
    assert_eq!(ways.written().await?, before, "nothing was written");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_made_of_other_letters_gives_a_slug_of_plain_ones() -> Result<()> {
    let ways = Ways::new(fleet().await?).await?;
    let operator = ways.fleet.operator_rest()?;
    for name in [
        "\u{430}\u{440}\u{440}\u{4cf}\u{435}",
        "Admin",
        "xn--80ak6aa92e",
        "First of all",
        "---",
    ] {
        let body = json!({"name": name, "project": ways.project});
        let slug = text(&create_tenant(&operator, body).await?, "slug");
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(slug.chars().all(plain), "{name}: {slug}");
        assert!(
            !slug.starts_with("xn--") && slug != "admin" && slug != "first-of-all",
            "{name}: {slug}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_domain_stands_for_another_tenants_slug() -> Result<()> {
    let fleet = fleet().await?;
    let (a, b) = tokio::try_join!(Party::create(fleet), Party::create(fleet))?;
    let domains = format!("/api/v1/tenants/{}/domains", a.id);
    let owner = a.rest(fleet)?;
    let own = owner.get(&domains).await?.ok()?;
    let platform = text(&own["domains"][0], "domain");
    let base = platform.trim_start_matches(&a.slug);
    let wide: String = (b.slug.chars())
        .map(|c| match c {
            'a'..='z' => char::from_u32(c as u32 - 'a' as u32 + 0xff41).unwrap(),
            other => other,
        })
        .collect();
    for label in [
        b.slug.clone(),
        b.slug.to_uppercase(),
        wide,
        format!("www.{}", b.slug),
        b.slug.replacen('a', "\u{430}", 1),
    ] {
        let name = format!("{label}{base}");
        let answer = owner.post(&domains, json!({"domain": name})).await?;
        assert_eq!(
            answer.reason(),
            "DOMAIN_RESERVED",
            "{name}: {}",
            answer.text
        );
    }
    assert_eq!(owner.get(&domains).await?.ok()?, own, "nothing was written");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_up_takes_no_slug_that_deceives_or_is_taken() -> Result<()> {
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    let person = a.rest(fleet)?;
    let encoded = "xn--sign-up-80ak6aa92e";
    for (slug, reason) in [
        ("sign-\u{443}p", "INVALID_ARGUMENT"),
        (encoded, "INVALID_ARGUMENT"),
        ("admin", "SLUG_RESERVED"),
        (&a.slug, "SLUG_TAKEN"),
    ] {
        let body = json!({"name": "Sign-up", "slug": slug});
        let answer = person.post("/api/v1/organizations", body).await?;
        assert_eq!(refused(&answer), reason, "{slug}: {}", answer.text);
    }
    let mut database = PgConnection::connect(fleet.superuser_url().as_str()).await?;
    let taken: Vec<String> =
        sqlx::query_scalar("SELECT tenant_id::text FROM registry.slugs WHERE slug = ANY ($1)")
            .bind(["sign-\u{443}p", encoded, "admin", a.slug.as_str()].map(str::to_owned))
            .fetch_all(&mut database)
            .await?;
    assert_eq!(taken, [a.id], "nothing was written");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_looks_for_a_slug_in_vain_and_makes_the_tenant_finds_it_at_once() -> Result<()> {
    let fleet = fleet().await?;
    let a = Party::create(fleet).await?;
    // Often enough that the replica that said no is asked again.
    for rest in [fleet.operator_rest()?, a.rest(fleet)?] {
        for round in 0..8 {
            let slug = unique("sought");
            let path = format!("/api/v1/tenants/{slug}");
            for _ in 0..2 {
                let absent = rest.get(&path).await?;
                assert_eq!(absent.reason(), "TENANT_NOT_FOUND", "round {round}");
            }
            let body = json!({"name": "Sought", "slug": slug, "parent_id": a.id});
            create_tenant(&rest, body).await?;
            for _ in 0..2 {
                let there = rest.get(&path).await?;
                assert_eq!(there.status, 200, "round {round}: {}", there.text);
            }
        }
    }
    Ok(())
}

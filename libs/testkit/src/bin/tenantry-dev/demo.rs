//! The demo's data: two projects, a reseller with two customers, made over REST as an operator would. Making it again
//! finds it.

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tenantry_testkit::fleet::Fleet;
use tenantry_testkit::rest::Rest;

/// What the tour shows.
#[derive(Debug)]
pub(crate) struct Demo {
    /// Id of the reseller, who has children.
    pub(crate) parent_id: String,
    /// How many tenants there are.
    pub(crate) tenants: usize,
}

/// Makes what isn't there yet.
pub(crate) async fn seed(fleet: &Fleet) -> Result<Demo> {
    let rest = fleet.operator_rest()?;
    let project = json!({"key": "learning", "name": "Learning platform"});
    let answer = rest.post("/api/v1/projects", project).await?;
    if answer.status != 409 {
        answer.ok().context("project learning")?;
    }
    let parent = tenant(
        &rest,
        "default",
        json!({"name": "Northwind Reseller", "slug": "northwind", "subscription_tier": "msp",
        "email": "ops@northwind.example", "labels": [{"key": "segment", "value": "reseller"}]}),
    )
    .await?;
    let tenants = [
        (
            "default",
            json!({"name": "Contoso Retail", "slug": "contoso", "subscription_tier": "professional", "parent_id": parent}),
        ),
        (
            "default",
            json!({"name": "Fabrikam Foods", "slug": "fabrikam", "subscription_tier": "basic", "parent_id": parent, "trial_days": 14}),
        ),
        (
            "learning",
            json!({"name": "Riverside School", "slug": "riverside", "subscription_tier": "education",
            "timezone": "Europe/Berlin", "locale": "de-DE"}),
        ),
        (
            "learning",
            json!({"name": "Hillside College", "slug": "hillside", "subscription_tier": "education"}),
        ),
    ];
    let count = tenants.len() + 1;
    for (project, body) in tenants {
        tenant(&rest, project, body).await?;
    }
    Ok(Demo {
        parent_id: parent,
        tenants: count,
    })
}

/// The id of the tenant with the body's slug, made where there is none.
async fn tenant(rest: &Rest, project: &str, mut body: Value) -> Result<String> {
    let slug = body["slug"].as_str().unwrap_or_default().to_owned();
    let rest = rest.clone().header("x-project", project);
    let found = rest.get(&format!("/api/v1/tenants/{slug}")).await?;
    let tenant = match found.status {
        200 => found.json(),
        404 => {
            body["project"] = project.into();
            rest.post("/api/v1/tenants", body)
                .await?
                .ok()
                .with_context(|| format!("tenant {slug}"))?
        }
        _ => bail!(
            "tenant {slug}: the answer is {}: {}",
            found.status,
            found.text
        ),
    };
    Ok(tenant["id"]
        .as_str()
        .context("a tenant without id")?
        .to_owned())
}

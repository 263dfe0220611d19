//! Tenants with people and keys, made through the gateway as operators make them.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tenantry_testkit::fleet::{Fleet, sign_in};
use tenantry_testkit::rest::Rest;
use tokio::sync::Semaphore;

use super::unique;

pub const PASSWORD: &str = "correct horse battery staple";

/// Parties that are made at once: all tests ask from one network, whose passwords have few places.
static TURNS: Semaphore = Semaphore::const_new(3);

/// A tenant with an owner, a member, an admin's key, and a child that has a member of its own.
#[derive(Clone, Debug)]
pub struct Party {
    pub id: String,
    pub slug: String,
    /// Id of the owner.
    pub owner: String,
    pub owner_email: String,
    /// Access token of the owner.
    pub token: String,
    /// Secret of a key that may all that an admin may.
    pub key: String,
    pub key_id: String,
    /// Id of a further member.
    pub member: String,
    pub child: String,
    pub child_slug: String,
    /// Id of the child's only member.
    pub child_member: String,
}

/// Everything that an admin may, as names.
pub const ADMIN: &[&str] = &[
    "tenants.read",
    "tenants.update",
    "tenants.create",
    "domains.read",
    "domains.manage",
    "members.read",
    "members.manage",
    "api_keys.read",
    "api_keys.manage",
    "roles.read",
    "roles.manage",
    "usage.read",
    "usage.record",
];

/// Has an operator put a tenant into a status.
pub async fn set_status(fleet: &Fleet, tenant: &str, status: &str) -> Result<()> {
    fleet
        .operator_rest()?
        .post(
            &format!("/api/v1/tenants/{tenant}/status/{status}"),
            json!({}),
        )
        .await?
        .ok()?;
    Ok(())
}

pub fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}

impl Party {
    pub async fn create(fleet: &Fleet) -> Result<Self> {
        Self::on_plan(fleet, "free").await
    }

    /// The same on a plan that has room for more people than five.
    pub async fn on_plan(fleet: &Fleet, plan: &str) -> Result<Self> {
        let _turn = TURNS.acquire().await?;
        let operator = fleet.operator_rest()?;
        let body = json!({"name": unique("Party"), "subscription_tier": plan});
        let tenant = create_tenant(&operator, body).await?;
        let (id, slug) = (text(&tenant, "id"), text(&tenant, "slug"));
        let owner_email = format!("{}@example.com", unique("owner"));
        let owner = add_user(&operator, &id, &owner_email, "owner").await?;
        let member = add_user(
            &operator,
            &id,
            &format!("{}@example.com", unique("member")),
            "member",
        )
        .await?;
        let child =
            create_tenant(&operator, json!({"name": unique("Child"), "parent_id": id})).await?;
        let (child, child_slug) = (text(&child, "id"), text(&child, "slug"));
        let child_member = add_user(
            &operator,
            &child,
            &format!("{}@example.com", unique("child")),
            "member",
        )
        .await?;
        let token = sign_in(&fleet.rest()?, &owner_email, PASSWORD).await?;
        let made = operator
            .post(
                &format!("/api/v1/tenants/{id}/api-keys"),
                json!({"name": "admin", "permissions": ADMIN}),
            )
            .await?
            .ok()
            .context("api key")?;
        Ok(Self {
            id,
            slug,
            owner,
            owner_email,
            token,
            key: text(&made, "secret"),
            key_id: text(&made["api_key"], "id"),
            member,
            child,
            child_slug,
            child_member,
        })
    }

    /// A client with the owner's token.
    pub fn rest(&self, fleet: &Fleet) -> Result<Rest> {
        Ok(fleet.rest()?.bearer(&self.token))
    }

    /// A client with the key.
    pub fn key_rest(&self, fleet: &Fleet) -> Result<Rest> {
        Ok(fleet.rest()?.header("x-api-key", &self.key))
    }
}

pub async fn create_tenant(rest: &Rest, body: Value) -> Result<Value> {
    rest.post("/api/v1/tenants", body)
        .await?
        .ok()
        .context("create tenant")
}

/// Makes a member and returns the user's id.
pub async fn add_user(rest: &Rest, tenant: &str, email: &str, role: &str) -> Result<String> {
    let body = json!({"email": email, "password": PASSWORD, "roles": [role]});
    let member = rest
        .post(&format!("/api/v1/tenants/{tenant}/users"), body)
        .await?
        .ok()
        .context("create member")?;
    Ok(text(&member, "id"))
}

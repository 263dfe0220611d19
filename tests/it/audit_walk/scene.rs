//! What the rows share: a tenant with an owner, a viewer and a key, operators, and ways to make more of each.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tenantry_testkit::fleet::{Fleet, sign_in};
use tenantry_testkit::rest::Rest;
use tonic::transport::{Channel, Endpoint};

use super::case::{Caller, PLATFORM, account, key, nobody, person};
use crate::support::dynamic::{Native, native};
use crate::support::unique;
use crate::support::world::{ADMIN, PASSWORD, add_user, create_tenant, text};

/// What the walk calls itself.
pub(super) const USER_AGENT: &str = "audit-walk";

pub struct Scene<'f> {
    pub fleet: &'f Fleet,
    pub channel: Channel,
    /// A client with the operator's key.
    pub rest: Rest,
    /// The tenant.
    pub tenant: String,
    pub slug: String,
    pub owner: Caller,
    pub viewer: Caller,
    /// The tenant's own key, an admin's.
    pub key: Caller,
    /// The platform's key.
    pub operator: Caller,
    pub nobody: Caller,
}

/// Someone with a password.
pub(super) struct Person {
    pub(super) id: String,
    pub(super) email: String,
    pub(super) caller: Caller,
}

impl<'f> Scene<'f> {
    pub async fn start(fleet: &'f Fleet) -> Result<Self> {
        let rest = fleet.operator_rest()?;
        // It has room for everyone who comes.
        let body = json!({"name": unique("Walk"), "subscription_tier": "business"});
        let made = create_tenant(&rest, body).await?;
        let (tenant, slug) = (text(&made, "id"), text(&made, "slug"));
        let endpoint = Endpoint::from_shared(fleet.gateway())?.user_agent(USER_AGENT)?;
        let me = rest.get("/api/v1/auth/me").await?.ok()?;
        let secret = fleet.operator().token.clone();
        let operator = program(secret, &text(&me, "id"), PLATFORM);
        let nobody = Caller {
            header: None,
            actor: nobody(),
            home: PLATFORM.to_owned(),
        };
        let mut scene = Self {
            fleet,
            channel: endpoint.connect().await?,
            rest,
            owner: nobody.clone(),
            viewer: nobody.clone(),
            key: nobody.clone(),
            tenant: tenant.clone(),
            slug,
            operator,
            nobody,
        };
        scene.owner = scene.person(&tenant, "owner").await?.caller;
        scene.viewer = scene.person(&tenant, "viewer").await?.caller;
        let permissions = [ADMIN, &["audit.read", "audit.record"]].concat();
        scene.key = scene.made_key(&permissions).await?.0;
        Ok(scene)
    }

    /// Calls a method natively.
    pub(super) async fn call(
        &self,
        path: &str,
        by: &Caller,
        at: Option<&str>,
        request: &Value,
    ) -> Result<Native> {
        let mut headers = Vec::new();
        if let Some((name, value)) = &by.header {
            headers.push((*name, value.as_str()));
        }
        if let Some(tenant) = at {
            headers.push(("x-tenant-id", tenant));
        }
        native(&self.channel, path, request, &headers).await
    }

    /// Calls a method that is to succeed, for what comes after it.
    pub(super) async fn ask(&self, path: &str, by: &Caller, request: Value) -> Result<Value> {
        let answer = self.call(path, by, None, &request).await?;
        ensure!(answer.is_ok(), "{path} {request}: {:?}", answer.status);
        answer.messages.into_iter().next().context("an answer")
    }

    /// A new tenant below the scene's own.
    pub(super) async fn child(&self) -> Result<String> {
        self.tenant(json!({"name": unique("Child"), "parent_id": self.tenant}))
            .await
    }

    /// Any new tenant.
    pub(super) async fn tenant(&self, body: Value) -> Result<String> {
        Ok(text(&create_tenant(&self.rest, body).await?, "id"))
    }

    /// Takes a step of a tenant's life over REST, as its operators do.
    pub(super) async fn step(&self, tenant: &str, step: &str) -> Result<()> {
        let path = format!("/api/v1/tenants/{tenant}{step}");
        self.rest.post(&path, json!({})).await?.ok()?;
        Ok(())
    }

    /// A new member of the scene's tenant, who never signs in.
    pub(super) async fn member(&self, role: &str) -> Result<(String, String)> {
        self.member_of(&self.tenant, role).await
    }

    /// The same of another tenant.
    pub(super) async fn member_of(&self, tenant: &str, role: &str) -> Result<(String, String)> {
        let email = address("member");
        let path = format!("/api/v1/tenants/{tenant}/users");
        let body = json!({"email": email, "name": "Mem", "roles": [role]});
        let made = self.rest.post(&path, body).await?.ok()?;
        Ok((text(&made, "id"), email))
    }

    /// A new member of a tenant who has signed in.
    pub(super) async fn person(&self, tenant: &str, role: &str) -> Result<Person> {
        let email = address(role);
        let id = add_user(&self.rest, tenant, &email, role).await?;
        let token = sign_in(&self.fleet.rest()?, &email, PASSWORD).await?;
        let caller = bearer(&token, &id, &email, tenant);
        Ok(Person { id, email, caller })
    }

    /// A new service account of the scene's tenant, by a key of it.
    pub(super) async fn account(&self, permissions: &[&str]) -> Result<Caller> {
        let own = format!("/api/v1/tenants/{}", self.tenant);
        let body = json!({"name": unique("bot"), "permissions": permissions});
        let path = format!("{own}/service-accounts");
        let id = text(&self.rest.post(&path, body).await?.ok()?, "id");
        let body = json!({"name": "walk", "service_account": id});
        let made = self
            .rest
            .post(&format!("{own}/api-keys"), body)
            .await?
            .ok()?;
        let key = text(&made["api_key"], "id");
        let caller = program(text(&made, "secret"), &key, &self.tenant);
        Ok(Caller {
            actor: account(&id, &key),
            ..caller
        })
    }

    /// A new key of the scene's tenant, and its id.
    pub(super) async fn made_key(&self, permissions: &[&str]) -> Result<(Caller, String)> {
        let path = format!("/api/v1/tenants/{}/api-keys", self.tenant);
        let body = json!({"name": "walk", "permissions": permissions});
        let made = self.rest.post(&path, body).await?.ok()?;
        let id = text(&made["api_key"], "id");
        Ok((program(text(&made, "secret"), &id, &self.tenant), id))
    }
}

/// Whoever has this access token.
pub(super) fn bearer(token: &str, id: &str, email: &str, home: &str) -> Caller {
    Caller {
        header: Some(("authorization", format!("Bearer {token}"))),
        actor: person(id, email),
        home: home.to_owned(),
    }
}

fn program(secret: String, id: &str, home: &str) -> Caller {
    Caller {
        header: Some(("x-api-key", secret)),
        actor: key(id),
        home: home.to_owned(),
    }
}

/// An address that nobody has.
pub(super) fn address(of: &str) -> String {
    format!("{}@example.com", unique(of))
}

//! OpenID providers of a tenant or a project: what one is, and what a change of one means.

mod fields;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_core::{IdentityProviderId, TenantId};

use super::field;
use super::role::RoleKey;
use crate::error::Error;
pub(crate) use fields::{Checked, Patch, client_secret, project};

/// Most providers of one tenant or project.
pub(crate) const MOST: i64 = 20;
/// Asked for where nothing else is.
const DEFAULT_SCOPES: [&str; 2] = ["email", "profile"];

/// A provider as it stands in its row and in recorded answers, without the client's secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IdentityProvider {
    pub(crate) id: IdentityProviderId,
    /// Nil for a project's.
    pub(crate) tenant_id: TenantId,
    /// Empty for a tenant's.
    pub(crate) project: String,
    pub(crate) name: String,
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) has_client_secret: bool,
    pub(crate) scopes: Vec<String>,
    pub(crate) redirect_uris: Vec<String>,
    pub(crate) email_domains: Vec<String>,
    pub(crate) just_in_time_roles: Vec<RoleKey>,
    pub(crate) enabled: bool,
    pub(crate) version: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// Whose providers are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Tenant(TenantId),
    /// A project, by its key.
    Project(String),
}

impl Scope {
    /// The tenant whose transaction sees the rows; nil for a project's.
    pub(crate) const fn tenant(&self) -> TenantId {
        match self {
            Self::Tenant(id) => *id,
            Self::Project(_) => TenantId::PLATFORM,
        }
    }

    /// Whether the provider is of this scope.
    pub(crate) fn holds(&self, provider: &IdentityProvider) -> bool {
        provider.tenant_id == self.tenant() && provider.project == self.project()
    }

    /// The project that the rows name; empty for a tenant's.
    pub(crate) fn project(&self) -> &str {
        match self {
            Self::Tenant(_) => "",
            Self::Project(key) => key,
        }
    }
}

impl Checked {
    /// A new provider. The fields that it can't do without are there: the patch of a creation sets them.
    pub(crate) fn create(self, scope: &Scope, now: Timestamp) -> IdentityProvider {
        IdentityProvider {
            id: IdentityProviderId::new(),
            tenant_id: scope.tenant(),
            project: scope.project().to_owned(),
            name: self.name.unwrap_or_default(),
            issuer: self.issuer.unwrap_or_default(),
            client_id: self.client_id.unwrap_or_default(),
            has_client_secret: false,
            scopes: self
                .scopes
                .filter(|scopes| !scopes.is_empty())
                .unwrap_or_else(|| DEFAULT_SCOPES.map(str::to_owned).to_vec()),
            redirect_uris: self.redirect_uris.unwrap_or_default(),
            email_domains: self.email_domains.unwrap_or_default(),
            just_in_time_roles: self.just_in_time_roles.unwrap_or_default(),
            enabled: self.enabled.unwrap_or(true),
            version: 1,
            created_at: now,
            updated_at: now,
        }
    }
}

impl IdentityProvider {
    /// What events say of it.
    pub(crate) fn facts(&self) -> Value {
        json!({
            "name": self.name, "issuer": self.issuer, "client_id": self.client_id,
            "has_client_secret": self.has_client_secret, "scopes": self.scopes,
            "redirect_uris": self.redirect_uris, "email_domains": self.email_domains,
            "just_in_time_roles": self.just_in_time_roles, "enabled": self.enabled, "project": self.project,
        })
    }

    /// Changes with each change.
    pub(crate) fn etag(&self) -> String {
        self.version.to_string()
    }

    /// The provider with these fields set. An etag other than the present one refuses it; an empty one was decided on none.
    pub(crate) fn update(&self, patch: Checked, etag: &str) -> Result<Self, Error> {
        if !etag.is_empty() && etag != self.etag() {
            return Err(Error::EtagMismatch);
        }
        let new = self.clone();
        Ok(Self {
            name: patch.name.unwrap_or(new.name),
            issuer: patch.issuer.unwrap_or(new.issuer),
            client_id: patch.client_id.unwrap_or(new.client_id),
            scopes: patch.scopes.unwrap_or(new.scopes),
            redirect_uris: patch.redirect_uris.unwrap_or(new.redirect_uris),
            email_domains: patch.email_domains.unwrap_or(new.email_domains),
            just_in_time_roles: patch.just_in_time_roles.unwrap_or(new.just_in_time_roles),
            enabled: patch.enabled.unwrap_or(new.enabled),
            ..new
        })
    }

    /// Whether the sessions that the provider began end when it becomes the new one: it speaks for nobody any more, or
    /// another speaks in its place, or for fewer.
    pub(crate) fn ends_sessions(&self, new: &Self) -> bool {
        !new.enabled
            || self.issuer != new.issuer
            || self.client_id != new.client_id
            || self.email_domains != new.email_domains
    }

    /// Whether a person with this verified address, empty for none, is let in.
    pub(crate) fn lets_in(&self, email: &str) -> bool {
        self.email_domains.is_empty() || field::is_of(email, &self.email_domains)
    }
}

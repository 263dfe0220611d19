//! Projects.

use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenantry_core::ProjectId;
use tenantry_core::Refusal;
use tenantry_core::refusal::Violations;

use super::{etag, field};
use crate::error::Error;

/// A product whose tenants these are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Project {
    pub(crate) id: ProjectId,
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) sign_up: SignUp,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) version: i64,
}

/// Whether any signed-in user may make a tenant in a project.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SignUp {
    #[default]
    Open,
    Closed,
}

impl SignUp {
    /// The name, as the API shows it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

impl FromStr for SignUp {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "open" => Ok(Self::Open),
            "closed" => Ok(Self::Closed),
            _ => Err("must be open or closed"),
        }
    }
}

/// An update of a project.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ProjectPatch {
    pub(crate) name: Option<String>,
    pub(crate) sign_up: Option<String>,
}

/// Checks what a new project is to be called. Keys have the form of slugs.
pub(crate) fn check(key: &str, name: &str, sign_up: &str) -> Result<SignUp, Refusal> {
    let mut wrong = Violations::new();
    // A label in its tenants' subdomains, as a slug is.
    if !super::slug::well_formed(key) || super::slug::is_encoded(key) {
        wrong.add(
            "key",
            "must be 3 to 63 characters: lower-case letters, digits and inner dashes, the third and fourth not both dashes, and not a UUID",
        );
    }
    wrong.take("name", field::name(name));
    let sign_up = if sign_up.is_empty() {
        Some(SignUp::default())
    } else {
        wrong.take("sign_up", sign_up.parse())
    };
    wrong.check()?;
    Ok(sign_up.unwrap_or_default())
}

impl Project {
    /// The etag of this state.
    pub(crate) fn etag(&self) -> String {
        self.version.to_string()
    }

    /// Refuses a change that was decided on another state; an empty etag was decided on none.
    pub(crate) fn compare(&self, etag: &str) -> Result<(), Error> {
        etag::compare(etag, &self.etag(), "project")
    }

    /// Applies a patch; none where it changes nothing.
    pub(crate) fn update(
        &self,
        patch: &ProjectPatch,
        now: Timestamp,
    ) -> Result<Option<Self>, Refusal> {
        let mut next = self.clone();
        let mut wrong = Violations::new();
        if let Some(name) = &patch.name {
            wrong.take("name", field::name(name));
            next.name.clone_from(name);
        }
        if let Some(sign_up) = &patch.sign_up
            && let Some(sign_up) = wrong.take("sign_up", sign_up.parse())
        {
            next.sign_up = sign_up;
        }
        wrong.check()?;
        if next == *self {
            return Ok(None);
        }
        next.version += 1;
        next.updated_at = now.max(self.updated_at);
        Ok(Some(next))
    }
}

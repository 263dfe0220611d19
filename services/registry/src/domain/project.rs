//! Projects.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenantry_core::ProjectId;
use tenantry_core::Refusal;
use tenantry_core::refusal::Violations;

use super::field;

/// A product whose tenants these are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Project {
    pub(crate) id: ProjectId,
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) created_at: Timestamp,
}

/// Checks what a new project is to be called. Keys have the form of slugs.
pub(crate) fn check(key: &str, name: &str) -> Result<(), Refusal> {
    let mut wrong = Violations::new();
    if !super::slug::well_formed(key) {
        wrong.add(
            "key",
            "must be 3 to 63 characters: lower-case letters, digits and inner dashes",
        );
    }
    wrong.take("name", field::name(name));
    wrong.check()
}

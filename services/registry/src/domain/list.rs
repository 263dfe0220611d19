//! What a list of tenants can be asked for, and where its pages are cut.

use serde::{Deserialize, Serialize};
use tenantry_core::filter::Filter;
use tenantry_core::{Reason, Refusal, TenantId, TenantStatus};

use super::search::SearchText;

/// What a list is sorted by; ties are broken by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SortKey {
    Name,
    Slug,
    CreatedAt,
    UpdatedAt,
}

/// An order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) key: SortKey,
    pub(crate) descending: bool,
}

impl Order {
    /// Reads `name`, `name asc` or `name desc`; by creation where it is empty.
    pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
        let mut words = text.split_whitespace();
        let key = match words.next() {
            None | Some("created_at") => SortKey::CreatedAt,
            Some("name") => SortKey::Name,
            Some("slug") => SortKey::Slug,
            Some("updated_at") => SortKey::UpdatedAt,
            Some(_) => return Err(Self::refuse()),
        };
        let descending = match (words.next(), words.next()) {
            (None | Some("asc"), None) => false,
            (Some("desc"), None) => true,
            _ => return Err(Self::refuse()),
        };
        Ok(Self { key, descending })
    }

    fn refuse() -> Refusal {
        Refusal::new(
            Reason::InvalidOrderBy,
            "order_by must be name, slug, created_at or updated_at, with ` desc` behind it for the other direction.",
        )
    }
}

/// Where a page ends: the sort key's value of its last tenant, and its id.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Position {
    /// Text, or microseconds since 1970.
    pub(crate) value: SortValue,
    pub(crate) id: TenantId,
}

/// The value of a sort key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum SortValue {
    Micros(i64),
    Text(String),
}

/// Which tenants the caller may see.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reach {
    /// All of the project.
    Project,
    /// This tenant alone.
    Own(TenantId),
    /// This tenant and those below it that a role in it reaches.
    Subtree(TenantId),
}

/// One page of a list, asked for.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub(crate) project: String,
    pub(crate) reach: Reach,
    /// Only below this tenant: its children, or with `true` all levels.
    pub(crate) below: Option<(TenantId, bool)>,
    pub(crate) status: Option<TenantStatus>,
    pub(crate) plan: Option<String>,
    /// What the name or the slug has.
    pub(crate) text: Option<SearchText>,
    pub(crate) filter: Option<Filter>,
    pub(crate) show_deleted: bool,
    pub(crate) order: Order,
    pub(crate) after: Option<Position>,
    pub(crate) offset: i64,
    pub(crate) limit: u32,
}

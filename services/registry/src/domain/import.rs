//! Imports of many tenants from one file: how far one is, and what became of each of its rows.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenantry_core::refusal::Violation;
use tenantry_core::{Permission, Permissions, Refusal, RequestContext, TenantId, TenantImportId};

use super::OWN;
use super::purge::StartedBy;
use super::tenant::NewTenant;

/// Most imports that are under way at once. Some that start at the same instant may pass it by their number.
pub(crate) const MAX_UNDER_WAY: i64 = 10;

/// A word that names nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnknownWord;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub(crate) enum $name { $($(#[$of])* #[serde(rename = $word)] $variant,)* }

        impl $name {
            /// The word, as the API and rows have it.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text { $($word => Ok(Self::$variant),)* _ => Err(UnknownWord) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

words! {
    /// How a file is written.
    Format {
        /// RFC 4180, with a header.
        Csv = "csv",
        /// A JSON object on each line.
        Ndjson = "ndjson",
    }
}

words! {
    /// How far an import is.
    State {
        /// No replica has taken it up.
        Pending = "pending",
        Running = "running",
        /// No row was refused.
        Succeeded = "succeeded",
        PartiallySucceeded = "partially_succeeded",
        /// Every row was refused.
        Failed = "failed",
        Cancelled = "cancelled",
    }
}

words! {
    /// What became of a row.
    Outcome {
        Pending = "pending",
        /// Its tenant was made; in a dry run it would be.
        Created = "created",
        /// A tenant of the project has its external id.
        Exists = "exists",
        Refused = "refused",
    }
}

/// An import, as it stands in its row, in its events and in recorded answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Import {
    pub(crate) id: TenantImportId,
    pub(crate) project: String,
    pub(crate) format: Format,
    pub(crate) dry_run: bool,
    pub(crate) state: State,
    pub(crate) rows: i32,
    pub(crate) created: i32,
    pub(crate) existing: i32,
    pub(crate) refused: i32,
    pub(crate) started_by: StartedBy,
    pub(crate) created_at: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
}

impl Import {
    /// An import that begins; rows that can't be read as a tenant are refused from the start.
    pub(crate) fn new(
        ctx: &RequestContext,
        project: String,
        format: Format,
        dry_run: bool,
        rows: &[NewRow],
        now: Timestamp,
    ) -> Self {
        let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
        Self {
            id: TenantImportId::new(),
            project,
            format,
            dry_run,
            state: State::Pending,
            rows: count(rows.len()),
            created: 0,
            existing: 0,
            refused: count(rows.iter().filter(|row| row.draft.is_err()).count()),
            started_by: StartedBy::of(ctx),
            created_at: now,
            started_at: None,
            finished_at: None,
        }
    }

    /// How many rows are decided.
    pub(crate) const fn done(&self) -> i32 {
        self.created + self.existing + self.refused
    }

    /// The import, with no row left; none where it has ended before.
    pub(crate) fn finish(&self, now: Timestamp) -> Option<Self> {
        let state = match (self.created + self.existing, self.refused) {
            (_, 0) => State::Succeeded,
            (0, _) => State::Failed,
            _ => State::PartiallySucceeded,
        };
        self.ended(state, now)
    }

    /// The import, ended before its last row; none where it has ended before.
    pub(crate) fn cancel(&self, now: Timestamp) -> Option<Self> {
        self.ended(State::Cancelled, now)
    }

    fn ended(&self, state: State, now: Timestamp) -> Option<Self> {
        self.finished_at.is_none().then(|| Self {
            state,
            finished_at: Some(now),
            ..self.clone()
        })
    }

    /// Who makes its tenants: whoever started it, with the right that was needed for that.
    pub(crate) fn starter(&self) -> RequestContext {
        RequestContext {
            principal: self.started_by.actor.clone(),
            origin: self.started_by.origin.clone(),
            credential: self.started_by.credential.clone(),
            ..RequestContext::of_service(OWN, Permissions::of(&[Permission::PlatformTenantsManage]))
        }
    }
}

/// What a row asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Draft {
    pub(crate) new: NewTenant,
    pub(crate) parent: Parent,
}

/// What a row says of its parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Parent {
    None,
    /// Id or slug.
    Named(String),
    ExternalId(String),
}

/// A row as the file says it.
#[derive(Clone, Debug)]
pub(crate) struct NewRow {
    /// The line that it begins in.
    pub(crate) line: usize,
    pub(crate) name: String,
    pub(crate) slug: String,
    pub(crate) external_id: String,
    /// What it asks for, or why that isn't a tenant.
    pub(crate) draft: Result<Draft, Refusal>,
}

/// A row and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) number: i32,
    pub(crate) line: i32,
    pub(crate) name: String,
    pub(crate) slug: String,
    pub(crate) external_id: String,
    pub(crate) outcome: Outcome,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) refusal: Option<RowRefusal>,
}

/// What is decided about a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Created {
        tenant: TenantId,
        slug: String,
        parent: Option<TenantId>,
        /// Level of its tree that it stands on, the top being 1.
        level: usize,
    },
    Exists {
        tenant: TenantId,
        slug: String,
    },
    Refused(RowRefusal),
}

impl Decision {
    pub(crate) const fn outcome(&self) -> Outcome {
        match self {
            Self::Created { .. } => Outcome::Created,
            Self::Exists { .. } => Outcome::Exists,
            Self::Refused(_) => Outcome::Refused,
        }
    }
}

/// Why a row was refused, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RowRefusal {
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) violations: Vec<FieldViolation>,
}

/// One wrong field of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FieldViolation {
    pub(crate) field: String,
    pub(crate) description: String,
}

impl From<Refusal> for RowRefusal {
    fn from(refusal: Refusal) -> Self {
        let violation = |Violation { field, description }| FieldViolation { field, description };
        Self {
            reason: refusal.reason.word().to_owned(),
            message: refusal.message,
            violations: refusal.violations.into_iter().map(violation).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_ends_once_and_says_how() {
        let ctx = RequestContext::of_service(OWN, Permissions::NONE);
        let now = Timestamp::UNIX_EPOCH;
        let new = Import::new(&ctx, "default".to_owned(), Format::Csv, false, &[], now);
        for (created, existing, refused, state) in [
            (0, 0, 0, State::Succeeded),
            (2, 1, 0, State::Succeeded),
            (0, 1, 1, State::PartiallySucceeded),
            (0, 0, 3, State::Failed),
        ] {
            let import = Import {
                created,
                existing,
                refused,
                ..new.clone()
            };
            let ended = import.finish(now).unwrap();
            assert_eq!(ended.state, state);
            assert_eq!(ended.finish(now), None);
            assert_eq!(ended.cancel(now), None);
        }
        assert_eq!(new.cancel(now).unwrap().state, State::Cancelled);
    }
}

//! Places that members and keys take of what a tenant may have, as far as quota is to be told.

use tenantry_core::{SeatId, TenantId};

/// What takes a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SeatKind {
    Member,
    Key,
}

impl SeatKind {
    /// The resource type that quota counts it as.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Member => "users",
            Self::Key => "api_keys",
        }
    }

    /// The kind of a resource type.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Member, Self::Key]
            .into_iter()
            .find(|kind| kind.word() == word)
    }
}

/// What is so of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Change {
    Taken,
    Left,
    /// It was held, and nobody took it in time.
    Void,
}

impl Change {
    /// The word, as rows have it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Left => "left",
            Self::Void => "void",
        }
    }

    /// The change of a word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Taken, Self::Left, Self::Void]
            .into_iter()
            .find(|change| change.word() == word)
    }
}

/// A change that quota is to be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) tenant: TenantId,
    pub(crate) kind: SeatKind,
    pub(crate) change: Change,
    pub(crate) seat: SeatId,
}

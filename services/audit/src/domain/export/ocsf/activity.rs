//! What kind of activity an event is.

use serde_json::Value;

/// A class of the schema, with the number and the name of its category.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    BaseEvent,
    EntityManagement,
    ApiActivity,
}

/// What was done: its number within its class, and the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Create,
    Read,
    Update,
    Delete,
    Move,
    Enable,
    Disable,
    Suspend,
    Resume,
    Other,
}

/// What kind of activity it is.
#[derive(Clone, Debug)]
pub(super) struct Activity {
    class: Class,
    verb: Verb,
    /// What it is called where the schema has no name for it.
    word: String,
}

/// What was done, by the last word of the event's type.
const VERBS: &[(Verb, &[&str])] = &[
    (
        Verb::Create,
        &["created", "added", "placed", "invited", "uploaded"],
    ),
    (
        Verb::Read,
        &[
            "read",
            "listed",
            "searched",
            "tailed",
            "exported",
            "proved",
            "downloaded",
            "viewed",
        ],
    ),
    (
        Verb::Update,
        &[
            "updated",
            "changed",
            "renamed",
            "rotated",
            "verified",
            "archived",
            "undeleted",
            "accepted",
            "cancelled",
            "reset",
            "resent",
        ],
    ),
    (
        Verb::Delete,
        &["deleted", "removed", "revoked", "released", "purged"],
    ),
    (Verb::Move, &["moved"]),
    (Verb::Enable, &["enabled"]),
    (Verb::Disable, &["disabled"]),
    (Verb::Suspend, &["suspended"]),
    (Verb::Resume, &["resumed"]),
];

/// The activity of an event.
pub(super) fn of_event(event_type: &str, succeeded: bool, event: &Value) -> Activity {
    let word = event_type.rsplit(['.', '_']).next().unwrap_or_default();
    let known = VERBS.iter().find(|(_, words)| words.contains(&word));
    let verb = known.map_or(Verb::Other, |(verb, _)| *verb);
    // An entity has a name or an id; without one, it is no more than a call.
    let is_entity = event.pointer("/resource/id").is_some();
    let changes = !matches!(verb, Verb::Read | Verb::Other);
    let class = if succeeded && changes && is_entity {
        Class::EntityManagement
    } else {
        Class::ApiActivity
    };
    Activity {
        class,
        verb: if class == Class::ApiActivity {
            verb.of_call()
        } else {
            verb
        },
        word: word.to_owned(),
    }
}

/// The activity of an export's first or last record.
pub(super) fn of_export(name: &str) -> Activity {
    Activity {
        class: Class::BaseEvent,
        verb: Verb::Other,
        word: name.to_owned(),
    }
}

impl Verb {
    const fn id(self) -> u16 {
        match self {
            Self::Create => 1,
            Self::Read => 2,
            Self::Update => 3,
            Self::Delete => 4,
            Self::Move => 5,
            Self::Enable => 8,
            Self::Disable => 9,
            Self::Suspend => 12,
            Self::Resume => 13,
            Self::Other => 99,
        }
    }

    /// The same among the four that API Activity knows.
    const fn of_call(self) -> Self {
        match self {
            Self::Move | Self::Enable | Self::Disable | Self::Suspend | Self::Resume => {
                Self::Update
            }
            Self::Create | Self::Read | Self::Update | Self::Delete | Self::Other => self,
        }
    }
}

impl Activity {
    pub(super) fn is_of_entity(&self) -> bool {
        self.class == Class::EntityManagement
    }

    pub(super) const fn category_uid(&self) -> u16 {
        match self.class {
            Class::BaseEvent => 0,
            Class::EntityManagement => 3,
            Class::ApiActivity => 6,
        }
    }

    pub(super) const fn category_name(&self) -> &'static str {
        match self.class {
            Class::BaseEvent => "Uncategorized",
            Class::EntityManagement => "Identity & Access Management",
            Class::ApiActivity => "Application Activity",
        }
    }

    pub(super) const fn class_uid(&self) -> u16 {
        match self.class {
            Class::BaseEvent => 0,
            Class::EntityManagement => 3004,
            Class::ApiActivity => 6003,
        }
    }

    pub(super) const fn class_name(&self) -> &'static str {
        match self.class {
            Class::BaseEvent => "Base Event",
            Class::EntityManagement => "Entity Management",
            Class::ApiActivity => "API Activity",
        }
    }

    pub(super) const fn id(&self) -> u16 {
        self.verb.id()
    }

    /// The name of the activity: the schema's, or the event's own word where that has none.
    pub(super) fn name(&self) -> &str {
        match self.verb {
            Verb::Create => "Create",
            Verb::Read => "Read",
            Verb::Update => "Update",
            Verb::Delete => "Delete",
            Verb::Move => "Move",
            Verb::Enable => "Enable",
            Verb::Disable => "Disable",
            Verb::Suspend => "Suspend",
            Verb::Resume => "Resume",
            Verb::Other if self.word.is_empty() => "Other",
            Verb::Other => &self.word,
        }
    }

    /// The type: class and activity in one number.
    pub(super) fn type_uid(&self) -> u32 {
        u32::from(self.class_uid()) * 100 + u32::from(self.id())
    }
}

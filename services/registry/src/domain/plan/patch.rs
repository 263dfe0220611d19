//! An update of a plan: the fields that its next version sets.

use super::{AfterTrial, Definition, Limit};

/// Fields to set. The key never changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Patch {
    pub(crate) aliases: Option<Vec<String>>,
    pub(crate) name: Option<String>,
    pub(crate) limits: Option<Vec<Limit>>,
    pub(crate) default_features: Option<Vec<String>>,
    pub(crate) available_features: Option<Vec<String>>,
    pub(crate) retention_days: Option<i32>,
    pub(crate) security_level: Option<String>,
    pub(crate) price_minor: Option<i64>,
    pub(crate) currency: Option<String>,
    pub(crate) after_trial: Option<AfterTrial>,
}

impl Patch {
    /// Whether it sets nothing.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What the next version says.
    pub(crate) fn apply(&self, old: &Definition) -> Definition {
        fn or<T: Clone>(new: &Option<T>, old: &T) -> T {
            new.as_ref().unwrap_or(old).clone()
        }
        Definition {
            key: old.key.clone(),
            aliases: or(&self.aliases, &old.aliases),
            name: or(&self.name, &old.name),
            limits: or(&self.limits, &old.limits),
            default_features: or(&self.default_features, &old.default_features),
            available_features: or(&self.available_features, &old.available_features),
            retention_days: or(&self.retention_days, &old.retention_days),
            security_level: or(&self.security_level, &old.security_level),
            price_minor: or(&self.price_minor, &old.price_minor),
            currency: or(&self.currency, &old.currency),
            after_trial: or(&self.after_trial, &old.after_trial),
        }
    }
}

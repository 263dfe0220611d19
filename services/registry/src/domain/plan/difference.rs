//! What differs between two versions, of one plan or of two.

use std::collections::BTreeSet;

use super::{Definition, Limit};

/// What would change for a tenant.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Difference {
    /// Fields that differ, as the API calls them.
    pub(crate) fields: Vec<&'static str>,
    /// By resource type.
    pub(crate) limits: Vec<LimitChange>,
    pub(crate) features_gained: Vec<String>,
    pub(crate) features_lost: Vec<String>,
}

/// A limit that differs; none on a side that doesn't limit the resource type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LimitChange {
    pub(crate) resource_type: String,
    pub(crate) from: Option<Limit>,
    pub(crate) to: Option<Limit>,
}

impl Difference {
    pub(crate) fn between(from: &Definition, to: &Definition) -> Self {
        let limits = limits(from, to);
        // The order of a list says nothing.
        let set = |features: &[String]| features.iter().cloned().collect::<BTreeSet<_>>();
        let [old, new] = [from, to].map(|plan| set(&plan.available_features));
        let fields = [
            ("key", from.key != to.key),
            ("name", from.name != to.name),
            ("limits", !limits.is_empty()),
            (
                "default_features",
                set(&from.default_features) != set(&to.default_features),
            ),
            ("available_features", old != new),
            ("retention_days", from.retention_days != to.retention_days),
            ("security_level", from.security_level != to.security_level),
            ("price_minor", from.price_minor != to.price_minor),
            ("currency", from.currency != to.currency),
            ("after_trial", from.after_trial != to.after_trial),
        ];
        Self {
            fields: fields
                .into_iter()
                .filter_map(|(name, differs)| differs.then_some(name))
                .collect(),
            limits,
            features_gained: new.difference(&old).cloned().collect(),
            features_lost: old.difference(&new).cloned().collect(),
        }
    }
}

fn limits(from: &Definition, to: &Definition) -> Vec<LimitChange> {
    let types: BTreeSet<_> = [from, to]
        .into_iter()
        .flat_map(|plan| plan.limits.iter().map(|limit| &limit.resource_type))
        .collect();
    types
        .into_iter()
        .map(|resource_type| LimitChange {
            resource_type: resource_type.clone(),
            from: from.limit(resource_type).cloned(),
            to: to.limit(resource_type).cloned(),
        })
        .filter(|change| change.from != change.to)
        .collect()
}

//! The catalogue file: the plans that every project begins with, and all features there are.

use std::collections::BTreeSet;

use serde::Deserialize;
use tenantry_core::refusal::Violations;

use super::Definition;

/// What the file says.
#[derive(Debug, Deserialize)]
pub(crate) struct Catalogue {
    /// Plan of a tenant that names none.
    pub(crate) default_plan: String,
    /// Every feature there is; plans may name no other.
    pub(crate) features: Vec<String>,
    pub(crate) plans: Vec<Definition>,
}

impl Catalogue {
    /// Reads a catalogue and checks it against itself. A key that means nothing is refused: it may be a slip of the pen.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut unknown = Vec::new();
        let catalogue: Self =
            serde_ignored::deserialize(&mut serde_json::Deserializer::from_str(text), |path| {
                unknown.push(path.to_string())
            })
            .map_err(|error| error.to_string())?;
        if !unknown.is_empty() {
            return Err(format!("nothing is known of {}", unknown.join(", ")));
        }
        let mut names = BTreeSet::new();
        for plan in &catalogue.plans {
            let key = &plan.key;
            let mut wrong = Violations::new();
            plan.check(&catalogue.features, &mut wrong);
            let target = &plan.after_trial.plan;
            if !target.is_empty() && !catalogue.plans.iter().any(|plan| plan.key == *target) {
                wrong.add("after_trial.plan", "must be the key of a plan of this file");
            }
            wrong
                .check()
                .map_err(|refusal| format!("plan {key}: {}", refusal.message))?;
            if let Some(name) = plan.names().find(|name| !names.insert(*name)) {
                return Err(format!("two plans are called {name}"));
            }
        }
        if !names.contains(&catalogue.default_plan) {
            return Err(format!(
                "default_plan names {}, which isn't among `plans`",
                catalogue.default_plan
            ));
        }
        Ok(catalogue)
    }
}

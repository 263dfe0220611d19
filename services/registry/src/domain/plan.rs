//! The plan catalogue.

use serde::Deserialize;

/// All plans of the fleet, in the order of their file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Catalogue {
    /// Plan of a tenant that names none.
    pub(crate) default_plan: String,
    /// Every feature there is; plans may name no other.
    pub(crate) features: Vec<String>,
    pub(crate) plans: Vec<Plan>,
}

/// A named, versioned bundle.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) aliases: Vec<String>,
    pub(crate) name: String,
    pub(crate) version: i32,
    pub(crate) limits: Vec<Limit>,
    pub(crate) default_features: Vec<String>,
    pub(crate) available_features: Vec<String>,
    pub(crate) retention_days: i32,
    pub(crate) security_level: String,
    pub(crate) price_minor: i64,
    pub(crate) currency: String,
}

/// A bound on one resource type.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limit {
    pub(crate) resource_type: String,
    pub(crate) limit: i64,
    pub(crate) reset_period: String,
}

const SECURITY_LEVELS: &[&str] = &["basic", "standard", "advanced", "enterprise"];

impl Catalogue {
    /// Reads a catalogue and checks it against itself.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let catalogue: Self = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let mut names = Vec::new();
        for plan in &catalogue.plans {
            let key = &plan.key;
            for name in std::iter::once(key).chain(&plan.aliases) {
                if names.contains(&name) {
                    return Err(format!("two plans are called {name}"));
                }
                names.push(name);
            }
            for feature in plan.default_features.iter().chain(&plan.available_features) {
                if !catalogue.features.contains(feature) {
                    return Err(format!(
                        "plan {key} names the feature {feature}, which `features` doesn't list"
                    ));
                }
            }
            if let Some(feature) = plan
                .default_features
                .iter()
                .find(|f| !plan.available_features.contains(f))
            {
                return Err(format!(
                    "plan {key} starts with the feature {feature}, which isn't among its available ones"
                ));
            }
            if !SECURITY_LEVELS.contains(&plan.security_level.as_str()) {
                return Err(format!(
                    "plan {key} has the security level {}; there are {SECURITY_LEVELS:?}",
                    plan.security_level
                ));
            }
        }
        if catalogue.find(&catalogue.default_plan).is_none() {
            return Err(format!(
                "default_plan names {}, which isn't among `plans`",
                catalogue.default_plan
            ));
        }
        Ok(catalogue)
    }

    /// The plan of this key or alias.
    pub(crate) fn find(&self, name: &str) -> Option<&Plan> {
        self.plans
            .iter()
            .find(|plan| plan.key == name || plan.aliases.iter().any(|alias| alias == name))
    }
}

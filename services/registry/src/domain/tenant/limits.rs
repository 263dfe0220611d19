//! Limits that a create asks for beside those of the plan. Registry enforces none: it keeps them, and the feed carries them to
//! quota, which does.

use serde::{Deserialize, Serialize};
use tenantry_core::refusal::Violations;
use tenantry_core::{Permission, Reason, Refusal};

use crate::domain::plan::Definition;

/// Bytes of a gigabyte.
pub(crate) const BYTES_PER_GB: i64 = 1_000_000_000;

/// Limits as a create names them; none where the plan's is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AskedLimits {
    pub(crate) max_users: Option<i32>,
    pub(crate) max_classes: Option<i32>,
    pub(crate) max_storage_gb: Option<i32>,
}

/// A limit that was asked for on a resource type, in the units of plans.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RequestedLimit {
    pub(crate) resource_type: String,
    pub(crate) limit: i64,
    /// Whether someone asked for it who manages the platform's tenants: then it stands whatever plan the tenant moves to.
    #[serde(default)]
    pub(crate) granted_by_operator: bool,
}

impl AskedLimits {
    /// Each field, the resource type that it limits, and how much of that one of it is.
    fn fields(self) -> [(&'static str, Option<i32>, &'static str, i64); 3] {
        [
            ("max_users", self.max_users, "users", 1),
            ("max_classes", self.max_classes, "classes", 1),
            (
                "max_storage_gb",
                self.max_storage_gb,
                "storage_bytes",
                BYTES_PER_GB,
            ),
        ]
    }

    /// Notes what can't be a limit.
    pub(super) fn check(self, wrong: &mut Violations) {
        for (field, asked, _, _) in self.fields() {
            if asked.is_some_and(|asked| asked < 0) {
                wrong.add(
                    field,
                    "must not be negative; leave it out for the plan's limit",
                );
            }
        }
    }

    /// Refuses more than the plan has: whoever manages the platform's tenants gives that, and nobody else.
    pub(crate) fn check_within(self, plan: &Definition) -> Result<(), Refusal> {
        for (field, asked, resource_type, unit) in self.fields() {
            let most = plan.limit(resource_type).map(|limit| limit.limit / unit);
            if let (Some(asked), Some(most)) = (asked, most)
                && i64::from(asked) > most
            {
                let permission = Permission::PlatformTenantsManage;
                return Err(Refusal::new(
                    Reason::PermissionDenied,
                    format!("{field} is more than the plan {} has, which is {most}: that needs the permission {permission}. Ask for no more, choose a larger plan, or ask an operator.", plan.key),
                )
                .with("permission", permission.name()));
            }
        }
        Ok(())
    }

    /// The limits as they are kept.
    pub(super) fn requested(self, granted_by_operator: bool) -> Vec<RequestedLimit> {
        let fields = self.fields().into_iter();
        fields
            .filter_map(|(_, asked, resource_type, unit)| {
                Some(RequestedLimit {
                    resource_type: resource_type.to_owned(),
                    limit: i64::from(asked?) * unit,
                    granted_by_operator,
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_kept_in_the_units_of_plans_and_only_those_that_were_asked_for() {
        let most = AskedLimits {
            max_users: Some(0),
            max_classes: None,
            max_storage_gb: Some(i32::MAX),
        };
        let kept: Vec<_> = most
            .requested(false)
            .into_iter()
            .map(|limit| (limit.resource_type, limit.limit))
            .collect();
        assert_eq!(
            kept,
            [
                ("users".to_owned(), 0),
                ("storage_bytes".to_owned(), 2_147_483_647_000_000_000)
            ]
        );
        assert!(AskedLimits::default().requested(true).is_empty());
    }
}

//! The names of counters.

use std::fmt;

use jiff::Timestamp;
use tenantry_core::TenantId;

/// The name of a counter: `tenantry:{<root>}:<tenant>:<resource type>:<reset period>:<start of the window, in seconds>`. What stands
/// in braces decides where a Redis Cluster keeps it (its hash tag), so that one call reaches the counters of a whole tree of
/// tenants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CounterKey(String);

impl CounterKey {
    /// The counter of a tenant's resource in the window of this period (`month`, `day`, ...) that begins then; `root` is the tenant
    /// at the top of its tree. What never resets begins at the epoch of Unix.
    #[must_use]
    pub fn new(
        root: TenantId,
        tenant: TenantId,
        resource_type: &str,
        (reset_period, start): (&str, Timestamp),
    ) -> Self {
        let start = start.as_second();
        Self(format!(
            "tenantry:{{{root}}}:{tenant}:{resource_type}:{reset_period}:{start}"
        ))
    }

    /// The rate of the same tenant's resource, in whatever window.
    pub(crate) fn rate(&self) -> Self {
        let mut parts = self.0.rsplitn(3, ':');
        let resource = parts.nth(2).unwrap_or_default();
        Self(format!("{resource}:rate"))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CounterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_one_tree_have_one_hash_tag_and_windows_that_begin_together_names_of_their_own() {
        let (root, child) = (TenantId::new(), TenantId::new());
        let start = Timestamp::from_second(1_700_000_000).unwrap();
        let key = |period| CounterKey::new(root, child, "api_calls", (period, start));
        let expected = format!("tenantry:{{{root}}}:{child}:api_calls:day:1700000000");
        assert_eq!(key("day").as_str(), expected);
        assert_ne!(key("day"), key("month"));
        assert_eq!(key("day").rate(), key("month").rate());
        let expected = format!("tenantry:{{{root}}}:{child}:api_calls:rate");
        assert_eq!(key("day").rate().as_str(), expected);
    }
}

//! Registry as audit's tests need it: tenants by how long their plan keeps events.

use tenantry_core::TenantId;
use tenantry_proto::internal::registry::v1::TenantEntry;
use tenantry_proto::registry::v1::Plan;
use tenantry_testkit::registry_double::RegistryDouble;

/// For how many days each plan keeps events; its key is `days-` and the number.
const PLANS: [i32; 5] = [30, 60, 90, 365, 730];

/// The tenants there are. It ends with the process.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    double: RegistryDouble,
    pub(crate) address: String,
}

impl Registry {
    pub(crate) async fn start() -> Self {
        let plans = PLANS.map(|days| Plan {
            key: format!("days-{days}"),
            project: "default".to_owned(),
            version: 1,
            retention_days: days,
            ..Default::default()
        });
        let double = RegistryDouble::start(plans.to_vec()).await.unwrap();
        Self {
            address: double.address().to_owned(),
            double,
        }
    }

    /// A new tenant whose plan keeps events for so many days.
    pub(crate) fn add(&self, slug: &str, days: i32, parent: Option<TenantId>) -> TenantId {
        self.add_as(TenantId::new(), slug, days, parent)
    }

    /// The same under an id of the test's own.
    pub(crate) fn add_as(
        &self,
        id: TenantId,
        slug: &str,
        days: i32,
        parent: Option<TenantId>,
    ) -> TenantId {
        self.double
            .add_as(id, slug, &format!("days-{days}"), parent);
        id
    }

    /// Forgets a tenant for good, as at the end of its purge.
    pub(crate) fn purge(&self, id: TenantId) {
        self.double.purge(id).unwrap();
    }

    /// Changes a tenant.
    pub(crate) fn change(&self, id: TenantId, change: impl FnOnce(&mut TenantEntry)) {
        self.double.change(id, change).unwrap();
    }
}

//! Moving tenants between plans and versions of plans.

use tenantry_core::{RequestContext, TenantId};
use tenantry_store::TenantTx;

use super::App;
use super::tenants::{Change, lock, replay};
use crate::domain::plan::{Difference, Plan, PlanVersion};
use crate::domain::tenant::Tenant;
use crate::error::Error;
use crate::store::plans;

/// What a move would change.
#[derive(Debug)]
pub(crate) struct Preview {
    pub(crate) from: Plan,
    pub(crate) to: Plan,
    pub(crate) difference: Difference,
}

impl App {
    /// Moves a tenant to the newest version of the plan of this name, or of its own for an empty one.
    pub(crate) async fn change_plan(
        &self,
        change: Change<'_>,
        name: &str,
    ) -> Result<Tenant, Error> {
        let mut tx = self.store.begin(change.id).await?;
        if let Some(answer) = replay(&mut tx, change).await? {
            return Ok(answer);
        }
        let tenant = lock(&mut tx, change).await?;
        let name = if name.is_empty() { &tenant.plan } else { name };
        let plan = newest(&mut tx, &tenant.project, name).await?;
        self.transit(tx, change, |tenant, now| tenant.move_to(&plan, now))
            .await
    }

    /// What [`Self::change_plan`] would change.
    pub(crate) async fn preview_plan_change(
        &self,
        ctx: &RequestContext,
        id: TenantId,
        name: &str,
    ) -> Result<Preview, Error> {
        let tenant = self.admit(ctx, id).await?;
        let name = if name.is_empty() { &tenant.plan } else { name };
        let to = self.plan(&tenant.project, name, None).await?;
        let from = self
            .plan(&tenant.project, &tenant.plan, Some(tenant.plan_version))
            .await?;
        let difference = Difference::between(&from.definition, &to.definition);
        Ok(Preview {
            from,
            to,
            difference,
        })
    }

    /// The newest version of the plan that an update of a tenant names; the default plan for an empty name.
    pub(super) async fn plan_for(
        &self,
        tx: &mut TenantTx,
        change: Change<'_>,
        name: &str,
    ) -> Result<PlanVersion, Error> {
        let tenant = lock(tx, change).await?;
        let name = self.plan_name(name);
        newest(tx, &tenant.project, name).await
    }

    /// The name itself; that of the catalogue's default plan for an empty one.
    pub(super) fn plan_name<'a>(&'a self, name: &'a str) -> &'a str {
        if name.is_empty() {
            &self.catalogue.default_plan
        } else {
            name
        }
    }
}

/// The newest version of a plan, for a tenant to be on.
pub(super) async fn newest(
    tx: &mut TenantTx,
    project: &str,
    name: &str,
) -> Result<PlanVersion, Error> {
    let plan = newest_plan(tx, project, name).await?;
    Ok(plan.version_of_tenants())
}

/// The newest version of a plan, with all that it says.
pub(super) async fn newest_plan(
    tx: &mut TenantTx,
    project: &str,
    name: &str,
) -> Result<Plan, Error> {
    let plan = plans::find(tx.conn(), project, name, None).await?;
    plan.ok_or(Error::PlanNotFound)
}

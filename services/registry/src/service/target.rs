//! Which tenant a request acts on, and what the caller needs for that.

use tenantry_core::context::Target;
use tenantry_core::tenant::project_or_default;
use tenantry_core::{Permission, Refusal, RequestContext, TenantId};

use crate::app::App;

/// The tenant that a request acts on. A slug that an operator names in the message alone is of the project that the
/// request names, else of the default one.
pub(super) async fn target(
    app: &App,
    ctx: &RequestContext,
    named: &str,
) -> Result<TenantId, Refusal> {
    match ctx.target(named)? {
        Target::Chosen(id) => Ok(id),
        Target::Named(name) => {
            let project = project_or_default(&ctx.project);
            Ok(app.resolve(project, &name).await?.id)
        }
    }
}

/// The same for a change of the tenant as a whole: a right of operators and of those who manage it from above.
pub(super) async fn managed(
    app: &App,
    ctx: &RequestContext,
    named: &str,
) -> Result<TenantId, Refusal> {
    let id = target(app, ctx, named).await?;
    require(ctx, Permission::TenantsManage)?;
    Ok(id)
}

/// Operators hold each right on tenants by one of the platform.
pub(super) fn require(ctx: &RequestContext, permission: Permission) -> Result<(), Refusal> {
    if ctx.allows(Permission::PlatformTenantsManage) {
        Ok(())
    } else {
        ctx.require(permission)
    }
}

//! Reading a list request: who may see what, and what is asked for.

use tenantry_core::context::Target;
use tenantry_core::filter::Filter;
use tenantry_core::page::{self, PageTokens};
use tenantry_core::tenant::DEFAULT_PROJECT;
use tenantry_core::{Permission, Refusal, RequestContext, TenantId, TenantRef, TenantSelection};
use tenantry_proto::registry::v1::ListTenantsRequest;

use crate::app::App;
use crate::domain::list::{Order, Query, Reach};
use crate::domain::search::SearchText;
use crate::error::Error;

/// Largest offset; cursors go further.
const MAX_OFFSET: i32 = 10_000;

/// The list that the request asks for, and the page tokens that belong to it.
pub(crate) async fn query<'a>(
    app: &'a App,
    ctx: &RequestContext,
    message: &ListTenantsRequest,
) -> Result<(Query, PageTokens<'a>), Refusal> {
    let reach = reach(ctx)?;
    let project = project(app, ctx, reach, &message.project).await?;
    let below = below(app, reach, &project, message).await?;
    let asked = if message.page_size == 0 {
        message.limit
    } else {
        message.page_size
    };
    let tokens = PageTokens::new(
        app.store().sealer(),
        &ctx.method,
        &[
            &format!(
                "{reach:?} {below:?} {} {}",
                message.show_deleted, message.subtree
            ),
            &project,
            &message.filter,
            &message.order_by,
            &message.status,
            &message.tier,
            &message.q,
        ],
    );
    if !(0..=MAX_OFFSET).contains(&message.offset) {
        return Err(Refusal::field(
            "offset",
            format!("must be 0 to {MAX_OFFSET}; page further with page_token"),
        ));
    }
    let plan = match message.tier.as_str() {
        "" => None,
        tier => Some(app.plan(&project, tier, None).await?.definition.key),
    };
    let query = Query {
        project,
        reach,
        below,
        status: match message.status.as_str() {
            "" => None,
            "inactive" => Some(tenantry_core::TenantStatus::Suspended),
            word => Some(word.parse().map_err(|_| {
                let words = tenantry_core::TenantStatus::words();
                Refusal::field("status", format!("must be {words}"))
            })?),
        },
        plan,
        text: SearchText::parse(&message.q)?,
        filter: Filter::parse(&message.filter)?,
        show_deleted: message.show_deleted,
        order: Order::parse(&message.order_by)?,
        after: tokens.read(&message.page_token)?,
        offset: message.offset.into(),
        limit: page::size(asked)?,
    };
    Ok((query, tokens))
}

/// An operator sees all; others their tenant, and what lies below it where their role reaches there.
fn reach(ctx: &RequestContext) -> Result<Reach, Refusal> {
    if sees_all(ctx)? {
        return Ok(Reach::Project);
    }
    let Target::Chosen(own) = ctx.target("")? else {
        return Err(Refusal::tenant_not_found());
    };
    ctx.require(Permission::TenantsRead)?;
    Ok(if ctx.below.contains(Permission::TenantsRead) {
        Reach::Subtree(own)
    } else {
        Reach::Own(own)
    })
}

/// Whether the caller sees every tenant. One that was named and can't be had is refused for operators too.
pub(crate) fn sees_all(ctx: &RequestContext) -> Result<bool, Refusal> {
    if !ctx.allows(Permission::PlatformTenantsManage) {
        return Ok(false);
    }
    match ctx.tenant {
        TenantSelection::Chosen { .. } | TenantSelection::None => Ok(true),
        TenantSelection::NotFound | TenantSelection::Conflict => ctx.target("").map(|_| true),
    }
}

/// The project that is listed: for a tenant's people always that of their tenant, which must admit them.
async fn project(
    app: &App,
    ctx: &RequestContext,
    reach: Reach,
    asked: &str,
) -> Result<String, Error> {
    match reach {
        Reach::Project if asked.is_empty() => Ok(DEFAULT_PROJECT.to_owned()),
        Reach::Project => {
            app.require_project(asked).await?;
            Ok(asked.to_owned())
        }
        Reach::Own(own) | Reach::Subtree(own) => {
            let own = app.admit(ctx, own).await?;
            if asked.is_empty() || asked == own.project {
                Ok(own.project)
            } else {
                Err(Error::ProjectNotFound)
            }
        }
    }
}

/// The tenant below which is listed. One that the caller doesn't see is answered like one that isn't there.
async fn below(
    app: &App,
    reach: Reach,
    project: &str,
    message: &ListTenantsRequest,
) -> Result<Option<(TenantId, bool)>, Error> {
    let Some(name) = TenantRef::parse(&message.parent) else {
        return Ok(None);
    };
    let parent = app.resolve(project, &name).await?;
    let seen = match reach {
        Reach::Project => parent.project == project,
        Reach::Own(_) => false,
        Reach::Subtree(root) => app.reaches(root, parent.id).await?,
    };
    if seen {
        Ok(Some((parent.id, message.subtree)))
    } else {
        Err(Error::TenantNotFound)
    }
}

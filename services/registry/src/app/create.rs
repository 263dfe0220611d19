//! Creating a tenant.

use tenantry_core::request_id::RequestKey;
use tenantry_core::tenant::DEFAULT_PROJECT;
use tenantry_core::{Permission, Refusal, RequestContext, TenantId, TenantRef, clock};
use tenantry_store::TenantTx;

use super::App;
use super::event::event;
use super::subscriptions::newest_plan;
use crate::domain::slug;
use crate::domain::tenant::{MAX_LEVELS, NewTenant, Place, Tenant};
use crate::error::Error;
use crate::store::{projects, slugs, tenants, tree};

/// Letters of the suffix that makes a slug unique: the last of the id, which are random.
const SUFFIX_CHARS: usize = 6;

/// Below whom a tenant is created, and with that in whose scope.
#[derive(Clone, Debug)]
pub(crate) enum Parent {
    /// By an operator, at the top or below any tenant of the project.
    Operator(Option<TenantRef>),
    /// By the people of a tenant, below it.
    Own(TenantId),
}

/// A parent with room for a child, held so that it can't be deleted or moved meanwhile.
#[derive(Debug)]
pub(super) struct Spot {
    pub(super) tenant: Tenant,
    /// Level of its tree that it stands on, the top being 1.
    pub(super) level: usize,
    pub(super) children: i64,
}

impl App {
    /// Creates a tenant, in the project that is named; where none is, in that of its parent, or in the default one.
    pub(crate) async fn create(
        &self,
        ctx: &RequestContext,
        key: Option<&RequestKey>,
        parent: Parent,
        mut new: NewTenant,
    ) -> Result<Tenant, Error> {
        let scope = match &parent {
            Parent::Operator(_) => TenantId::PLATFORM,
            Parent::Own(parent) => *parent,
        };
        let mut tx = self.store.begin(scope).await?;
        if let Some(replay) = tx.claim::<Tenant>(key).await? {
            if let Parent::Own(parent) = parent {
                let parent = tenants::find(tx.conn(), parent).await?;
                parent
                    .ok_or(Error::TenantNotFound)?
                    .admit(ctx.permissions)?;
            }
            return Ok(replay.answer);
        }
        let named = new.project.clone();
        if named.is_empty() {
            new.project = DEFAULT_PROJECT.to_owned();
        }
        if let Some(spot) = self.parent(&mut tx, ctx, &parent, &new.project).await? {
            if !named.is_empty() && named != spot.tenant.project {
                let why = "must be that of the parent, or be left out";
                return Err(Refusal::field("project", why).into());
            }
            new.project.clone_from(&spot.tenant.project);
            new.parent_id = Some(spot.tenant.id);
        } else if !projects::exists(tx.conn(), &new.project).await? {
            return Err(Error::ProjectNotFound);
        }
        let id = TenantId::new();
        tx.enter_new(id).await?;
        let tenant = self.write_new(&mut tx, ctx, id, new).await?;
        tx.finish(key, &tenant).await?;
        Ok(tenant)
    }

    /// Writes a tenant into a project that exists, with its event. The transaction is in the new tenant's scope.
    pub(super) async fn write_new(
        &self,
        tx: &mut TenantTx,
        ctx: &RequestContext,
        id: TenantId,
        new: NewTenant,
    ) -> Result<Tenant, Error> {
        let plan = newest_plan(tx, &new.project, self.plan_name(&new.plan)).await?;
        let limits_granted = ctx.allows(Permission::PlatformTenantsManage);
        if !limits_granted {
            new.limits.check_within(&plan.definition)?;
        }
        let slug = take_slug(tx, id, &new).await?;
        let plan = plan.version_of_tenants();
        let tenant = new.create(id, slug, plan, limits_granted, clock::now());
        tenants::insert(tx.conn(), &tenant).await?;
        let kind = ("tenant", id.uuid());
        let event = event(ctx, "tenant.created", kind, None, Some(&tenant))?;
        tx.record(&event).await?;
        Ok(tenant)
    }

    async fn parent(
        &self,
        tx: &mut TenantTx,
        ctx: &RequestContext,
        parent: &Parent,
        project: &str,
    ) -> Result<Option<Spot>, Error> {
        let name = match parent {
            Parent::Operator(None) => return Ok(None),
            Parent::Operator(Some(name)) => name.clone(),
            Parent::Own(id) => TenantRef::Id(*id),
        };
        let found = match self.resolve(project, &name).await {
            Ok(parent) => parent,
            Err(Error::TenantNotFound) => return Err(Error::ParentNotFound),
            Err(error) => return Err(error),
        };
        self.spot(tx, ctx, &found).await.map(Some)
    }

    /// The place below a parent, if it has room for one more child.
    pub(super) async fn spot(
        &self,
        tx: &mut TenantTx,
        ctx: &RequestContext,
        found: &Tenant,
    ) -> Result<Spot, Error> {
        let id = found.id;
        tree::hold_project(tx.conn(), &found.project, false).await?;
        tree::hold(tx.conn(), id, false).await?;
        let mut platform = self.store.platform().await?;
        let lineage = tree::lineage(platform.conn(), id).await?;
        let level = lineage.len();
        let parent = lineage.into_iter().next().ok_or(Error::ParentNotFound)?;
        parent.admit(ctx.permissions)?;
        if !parent.status.is_active() {
            return Err(Error::ParentNotFound);
        }
        if level >= MAX_LEVELS {
            return Err(Error::TooDeep);
        }
        let children = tree::places_taken(platform.conn(), id).await?;
        Place::has_room(children)?;
        Ok(Spot {
            tenant: parent,
            level,
            children,
        })
    }
}

/// Takes the slug that the caller chose, or one made from the name.
async fn take_slug(tx: &mut TenantTx, id: TenantId, new: &NewTenant) -> Result<String, Error> {
    if !new.slug.is_empty() {
        return if slugs::take(tx.conn(), id, &new.project, &new.slug).await? {
            Ok(new.slug.clone())
        } else {
            Err(Error::SlugTaken)
        };
    }
    let plain = slug::from_name(&new.name, None);
    if slug::check(&plain).is_ok() && slugs::take(tx.conn(), id, &new.project, &plain).await? {
        return Ok(plain);
    }
    let id_text = id.to_string();
    let suffix = &id_text[id_text.len() - SUFFIX_CHARS..];
    let slug = slug::from_name(&new.name, Some(suffix));
    if slugs::take(tx.conn(), id, &new.project, &slug).await? {
        Ok(slug)
    } else {
        Err(Error::SlugTaken)
    }
}

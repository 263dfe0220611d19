//! Plans of a project: each change makes a version.

use tenantry_core::page::{Page, PageTokens};
use tenantry_core::refusal::Violations;
use tenantry_core::request_id::RequestKey;
use tenantry_core::{RequestContext, TenantId, clock};
use tenantry_store::TenantTx;

use super::App;
use super::event::event;
use crate::domain::plan::{Definition, MAX_PLANS, Patch, Plan};
use crate::error::Error;
use crate::store::{plans, projects};

/// A change of one plan, asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlanChange<'a> {
    pub(crate) ctx: &'a RequestContext,
    pub(crate) key: Option<&'a RequestKey>,
    pub(crate) project: &'a str,
    /// Key or alias.
    pub(crate) plan: &'a str,
    /// What the change was decided on; empty for whatever there is.
    pub(crate) etag: &'a str,
}

impl App {
    /// The plan of this key or alias in a project, at this version or the newest.
    pub(crate) async fn plan(
        &self,
        project: &str,
        name: &str,
        version: Option<i32>,
    ) -> Result<Plan, Error> {
        let mut tx = self.store.read(TenantId::PLATFORM).await?;
        let plan = plans::find(tx.conn(), project, name, version).await?;
        plan.ok_or(Error::PlanNotFound)
    }

    pub(crate) async fn list_plans(&self, project: &str) -> Result<Vec<Plan>, Error> {
        let mut tx = self.store.read(TenantId::PLATFORM).await?;
        Ok(plans::of_project(tx.conn(), project).await?)
    }

    pub(crate) async fn list_plan_versions(
        &self,
        project: &str,
        name: &str,
        tokens: &PageTokens<'_>,
        size: u32,
        page_token: &str,
    ) -> Result<Page<Plan>, Error> {
        let below: Option<i32> = tokens.read(page_token)?;
        let mut tx = self.store.read(TenantId::PLATFORM).await?;
        let plan = plans::find(tx.conn(), project, name, None)
            .await?
            .ok_or(Error::PlanNotFound)?;
        let items = plans::versions(tx.conn(), plan.id, below, i64::from(size) + 1).await?;
        Ok(Page::cut(items, size, |plan| tokens.write(&plan.version)))
    }

    pub(crate) async fn create_plan(
        &self,
        ctx: &RequestContext,
        key: Option<&RequestKey>,
        project: &str,
        definition: Definition,
    ) -> Result<Plan, Error> {
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        if let Some(replay) = tx.claim::<Plan>(key).await? {
            return Ok(replay.answer);
        }
        if !projects::hold(tx.conn(), project).await? {
            return Err(Error::ProjectNotFound);
        }
        let definition = self.checked(&mut tx, project, definition).await?;
        if plans::count(tx.conn(), project).await? >= MAX_PLANS {
            return Err(Error::TooManyPlans);
        }
        let plan = Plan::create(project, definition, clock::now());
        plans::insert(tx.conn(), &plan, None).await?;
        let kind = (KIND, plan.id.uuid());
        let event = event(ctx, CREATED, kind, None, Some(&plan))?;
        tx.record(&event).await?;
        tx.finish(key, &plan).await?;
        Ok(plan)
    }

    pub(crate) async fn update_plan(
        &self,
        change: PlanChange<'_>,
        patch: &Patch,
    ) -> Result<Plan, Error> {
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        if let Some(replay) = tx.claim::<Plan>(change.key).await? {
            return Ok(replay.answer);
        }
        let before = plans::find_for_update(tx.conn(), change.project, change.plan)
            .await?
            .ok_or(Error::PlanNotFound)?;
        before.compare(change.etag)?;
        let definition = patch.apply(&before.definition);
        let definition = self.checked(&mut tx, change.project, definition).await?;
        let Some(plan) = before.next(definition, clock::now()) else {
            tx.finish(change.key, &before).await?;
            return Ok(before);
        };
        plans::advance(tx.conn(), &plan).await?;
        let kind = (KIND, plan.id.uuid());
        let event = event(change.ctx, UPDATED, kind, Some(&before), Some(&plan))?;
        tx.record(&event).await?;
        tx.finish(change.key, &plan).await?;
        Ok(plan)
    }

    /// The definition, if nothing is wrong with it; the plan that it names for after a trial by its key.
    async fn checked(
        &self,
        tx: &mut TenantTx,
        project: &str,
        mut definition: Definition,
    ) -> Result<Definition, Error> {
        let mut wrong = Violations::new();
        definition.check(&self.catalogue.features, &mut wrong);
        if !definition.after_trial.plan.is_empty() {
            let next = &definition.after_trial.plan;
            match plans::find(tx.conn(), project, next, None).await? {
                Some(plan) => definition.after_trial.plan = plan.definition.key,
                None => wrong.add("after_trial.plan", "must be a plan of the project"),
            }
        }
        wrong.check()?;
        Ok(definition)
    }
}

/// What events of plans are about, and what they are called.
pub(super) const KIND: &str = "plan";
pub(super) const CREATED: &str = "plan.created";
pub(super) const UPDATED: &str = "plan.updated";

//! Projects.

use tenantry_core::page::{Page, PageTokens};
use tenantry_core::request_id::RequestKey;
use tenantry_core::tenant::DEFAULT_PROJECT;
use tenantry_core::{ProjectId, RequestContext, TenantId, clock};

use super::App;
use super::event::event;
use crate::domain::project::{self, Project, ProjectPatch};
use crate::error::Error;
use crate::store::{projects, slugs, tenants};

impl App {
    pub(crate) async fn create_project(
        &self,
        ctx: &RequestContext,
        request: Option<&RequestKey>,
        key: &str,
        name: &str,
        sign_up: &str,
    ) -> Result<Project, Error> {
        let sign_up = project::check(key, name, sign_up)?;
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        if let Some(replay) = tx.claim::<Project>(request).await? {
            return Ok(replay.answer);
        }
        let now = clock::now();
        let project = Project {
            id: ProjectId::new(),
            key: key.to_owned(),
            name: name.to_owned(),
            sign_up,
            created_at: now,
            updated_at: now,
            version: 1,
        };
        projects::insert(tx.conn(), &project).await?;
        // Its tenants' subdomains stand below it, so no tenant of the default project stands there too.
        if !slugs::take(tx.conn(), TenantId::PLATFORM, DEFAULT_PROJECT, key).await? {
            return Err(Error::ProjectKeyIsSlug);
        }
        let kind = ("project", project.id.uuid());
        let event = event(ctx, "project.created", kind, None, Some(&project))?;
        tx.record(&event).await?;
        self.load(&mut tx, key, Some(ctx)).await?;
        tx.finish(request, &project).await?;
        Ok(project)
    }

    pub(crate) async fn update_project(
        &self,
        ctx: &RequestContext,
        request: Option<&RequestKey>,
        key: &str,
        etag: &str,
        patch: &ProjectPatch,
    ) -> Result<Project, Error> {
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        if let Some(replay) = tx.claim::<Project>(request).await? {
            return Ok(replay.answer);
        }
        projects::hold(tx.conn(), key).await?;
        let before = projects::find(tx.conn(), key)
            .await?
            .ok_or(Error::ProjectNotFound)?;
        before.compare(etag)?;
        let Some(project) = before.update(patch, clock::now())? else {
            tx.finish(request, &before).await?;
            return Ok(before);
        };
        projects::update(tx.conn(), &project).await?;
        let kind = ("project", project.id.uuid());
        let (old, new) = (Some(&before), Some(&project));
        let event = event(ctx, "project.updated", kind, old, new)?;
        tx.record(&event).await?;
        tx.finish(request, &project).await?;
        Ok(project)
    }

    pub(crate) async fn project(&self, key: &str) -> Result<Project, Error> {
        let mut tx = self.store.read(TenantId::PLATFORM).await?;
        let project = projects::find(tx.conn(), key).await?;
        project.ok_or(Error::ProjectNotFound)
    }

    /// Refuses the key of no project.
    pub(crate) async fn require_project(&self, key: &str) -> Result<(), Error> {
        let mut tx = self.store.read(TenantId::PLATFORM).await?;
        if projects::exists(tx.conn(), key).await? {
            Ok(())
        } else {
            Err(Error::ProjectNotFound)
        }
    }

    /// The project of a tenant.
    pub(crate) async fn project_of(&self, id: TenantId) -> Result<String, Error> {
        let mut tx = self.store.read(id).await?;
        let tenant = tenants::find(tx.conn(), id).await?;
        Ok(tenant.ok_or(Error::TenantNotFound)?.project)
    }

    pub(crate) async fn list_projects(
        &self,
        tokens: &PageTokens<'_>,
        size: u32,
        page_token: &str,
    ) -> Result<Page<Project>, Error> {
        let after: String = tokens.read(page_token)?.unwrap_or_default();
        let mut tx = self.store.read(TenantId::PLATFORM).await?;
        let items = projects::page(tx.conn(), &after, i64::from(size) + 1).await?;
        Ok(Page::cut(items, size, |project| tokens.write(&project.key)))
    }
}

//! Projects.

use tenantry_core::event::Event;
use tenantry_core::request_id::RequestKey;
use tenantry_core::{RequestContext, TenantId};

use super::{App, Page};
use crate::domain::project::{self, Project};
use crate::error::Error;
use crate::store::projects;

impl App {
    pub(crate) async fn create_project(
        &self,
        ctx: &RequestContext,
        request: Option<&RequestKey>,
        key: &str,
        name: &str,
    ) -> Result<Project, Error> {
        project::check(key, name)?;
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        if let Some(replay) = tx.claim::<Project>(request).await? {
            return Ok(replay.answer);
        }
        let project = projects::insert(tx.conn(), key, name).await?;
        let after = serde_json::to_value(&project).map_err(tenantry_store::Error::from)?;
        let event = Event::of(
            ctx,
            "project.created",
            "project",
            project.id.uuid(),
            serde_json::Value::Null,
            after,
        );
        tx.record(&event).await?;
        tx.finish(request, &project).await?;
        Ok(project)
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

    pub(crate) async fn list_projects(
        &self,
        after: &str,
        size: u32,
    ) -> Result<Page<Project>, Error> {
        let mut tx = self.store.read(TenantId::PLATFORM).await?;
        Ok(Page::cut(
            projects::page(tx.conn(), after, i64::from(size) + 1).await?,
            size,
        ))
    }
}

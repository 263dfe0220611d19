//! Projects.

use tenantry_core::page::{self, PageTokens};
use tenantry_core::{Permission, Reason, Refusal};
use tenantry_proto::registry::v1::project_service_server::ProjectService;
use tenantry_proto::registry::v1::{
    CreateProjectRequest, GetProjectRequest, ListProjectsRequest, ListProjectsResponse, Project,
    UpdateProjectRequest,
};
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::convert;
use crate::domain::project::ProjectPatch;

#[derive(Debug)]
pub(crate) struct Projects {
    app: App,
}

impl Projects {
    pub(crate) const fn new(app: App) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl ProjectService for Projects {
    async fn create_project(
        &self,
        request: Request<CreateProjectRequest>,
    ) -> Result<Response<Project>, Status> {
        answer(async {
            let mut call = open(request)?;
            call.ctx.require(Permission::PlatformTenantsManage)?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let message = &call.message;
            let name = if message.name.is_empty() {
                &message.key
            } else {
                &message.name
            };
            let project = self
                .app
                .create_project(
                    &call.ctx,
                    key.as_ref(),
                    &message.key,
                    name,
                    &message.sign_up,
                )
                .await?;
            Ok(convert::project(project))
        })
        .await
    }

    async fn get_project(
        &self,
        request: Request<GetProjectRequest>,
    ) -> Result<Response<Project>, Status> {
        answer(async {
            let call = open(request)?;
            call.ctx.require(Permission::PlatformTenantsManage)?;
            let project = self.app.project(&call.message.project).await?;
            Ok(convert::project(project))
        })
        .await
    }

    async fn update_project(
        &self,
        request: Request<UpdateProjectRequest>,
    ) -> Result<Response<Project>, Status> {
        answer(async {
            let mut call = open(request)?;
            call.ctx.require(Permission::PlatformTenantsManage)?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let name = std::mem::take(&mut call.message.project);
            let etag = std::mem::take(&mut call.message.etag);
            let patch = convert::project_patch(call.message)?;
            if patch == ProjectPatch::default() {
                return Err(Refusal::new(
                    Reason::NothingToUpdate,
                    "The update names no field of a project. Send the fields to change, as {\"sign_up\": \"closed\"}; unknown fields are ignored.",
                ));
            }
            let project = self
                .app
                .update_project(&call.ctx, key.as_ref(), &name, &etag, &patch)
                .await?;
            Ok(convert::project(project))
        })
        .await
    }

    async fn list_projects(
        &self,
        request: Request<ListProjectsRequest>,
    ) -> Result<Response<ListProjectsResponse>, Status> {
        answer(async {
            let call = open(request)?;
            call.ctx.require(Permission::PlatformTenantsManage)?;
            let size = page::size(call.message.page_size)?;
            let tokens = PageTokens::new(self.app.store().sealer(), &call.ctx.method, &[]);
            let page_token = &call.message.page_token;
            let page = self.app.list_projects(&tokens, size, page_token).await?;
            Ok::<_, Refusal>(ListProjectsResponse {
                projects: page.items.into_iter().map(convert::project).collect(),
                next_page_token: page.next_page_token,
            })
        })
        .await
    }
}

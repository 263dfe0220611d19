//! Plans of projects.

use tenantry_core::page::{self, PageTokens};
use tenantry_core::tenant::{DEFAULT_PROJECT, project_or_default};
use tenantry_core::{Permission, Reason, Refusal, RequestContext, TenantSelection};
use tenantry_proto::registry::v1 as wire;
use tenantry_proto::registry::v1::plan_service_server::PlanService;
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use crate::app::{App, PlanChange};
use crate::convert;
use crate::error::Error;

#[derive(Debug)]
pub(crate) struct Plans {
    app: App,
}

impl Plans {
    pub(crate) const fn new(app: App) -> Self {
        Self { app }
    }

    /// The project whose plans are meant: the one that is named, else the caller's tenant's, else the request's. To all but
    /// operators a project that isn't their tenant's is absent, or the default one where they act in no tenant.
    async fn project(&self, ctx: &RequestContext, named: &str) -> Result<String, Refusal> {
        ctx.named_once()?;
        let own = match &ctx.tenant {
            TenantSelection::Chosen { id, .. } => Some(self.app.project_of(*id).await?),
            TenantSelection::NotFound | TenantSelection::Conflict => {
                return Err(Refusal::tenant_not_found());
            }
            TenantSelection::None => None,
        };
        let asked = match (named, &own) {
            ("", Some(own)) => own,
            ("", None) => project_or_default(&ctx.project),
            (named, _) => named,
        };
        if ctx.is_operator() {
            self.app.require_project(asked).await?;
        } else if asked != own.as_deref().unwrap_or(DEFAULT_PROJECT) {
            return Err(Error::ProjectNotFound.into());
        }
        Ok(asked.to_owned())
    }
}

#[tonic::async_trait]
impl PlanService for Plans {
    async fn create_plan(
        &self,
        request: Request<wire::CreatePlanRequest>,
    ) -> Result<Response<wire::Plan>, Status> {
        answer(async {
            let mut call = open(request)?;
            call.ctx.require(Permission::PlatformPlansManage)?;
            let project = self.project(&call.ctx, &call.message.project).await?;
            // Another project is another request, whether the message names it or a header.
            call.message.project.clone_from(&project);
            let key = call.request_key(|message| &mut message.request_id)?;
            let definition = convert::new_plan(call.message)?;
            let plan = self
                .app
                .create_plan(&call.ctx, key.as_ref(), &project, definition)
                .await?;
            Ok(convert::plan(plan))
        })
        .await
    }

    async fn get_plan(
        &self,
        request: Request<wire::GetPlanRequest>,
    ) -> Result<Response<wire::Plan>, Status> {
        answer(async {
            let call = open(request)?;
            let message = &call.message;
            let project = self.project(&call.ctx, &message.project).await?;
            let version = Some(message.version).filter(|version| *version != 0);
            let plan = self.app.plan(&project, &message.plan, version).await?;
            Ok(convert::plan(plan))
        })
        .await
    }

    async fn list_plans(
        &self,
        request: Request<wire::ListPlansRequest>,
    ) -> Result<Response<wire::ListPlansResponse>, Status> {
        answer(async {
            let call = open(request)?;
            let project = self.project(&call.ctx, &call.message.project).await?;
            let plans = self.app.list_plans(&project).await?;
            Ok(wire::ListPlansResponse {
                plans: plans.into_iter().map(convert::plan).collect(),
            })
        })
        .await
    }

    async fn list_plan_versions(
        &self,
        request: Request<wire::ListPlanVersionsRequest>,
    ) -> Result<Response<wire::ListPlanVersionsResponse>, Status> {
        answer(async {
            let call = open(request)?;
            let message = &call.message;
            let project = self.project(&call.ctx, &message.project).await?;
            let size = page::size(message.page_size)?;
            let sealer = self.app.store().sealer();
            let tokens = PageTokens::new(sealer, &call.ctx.method, &[&project, &message.plan]);
            let (plan, page_token) = (&message.plan, &message.page_token);
            let page = self
                .app
                .list_plan_versions(&project, plan, &tokens, size, page_token)
                .await?;
            Ok(wire::ListPlanVersionsResponse {
                versions: page.items.into_iter().map(convert::plan).collect(),
                next_page_token: page.next_page_token,
            })
        })
        .await
    }

    async fn update_plan(
        &self,
        request: Request<wire::UpdatePlanRequest>,
    ) -> Result<Response<wire::Plan>, Status> {
        answer(async {
            let mut call = open(request)?;
            call.ctx.require(Permission::PlatformPlansManage)?;
            let project = self.project(&call.ctx, &call.message.project).await?;
            // Another project is another request, whether the message names it or a header.
            call.message.project.clone_from(&project);
            let key = call.request_key(|message| &mut message.request_id)?;
            let name = std::mem::take(&mut call.message.plan);
            let etag = std::mem::take(&mut call.message.etag);
            let patch = convert::plan_patch(call.message)?;
            if patch.is_empty() {
                return Err(Refusal::new(
                    Reason::NothingToUpdate,
                    "The update names no field of a plan. Send the fields that differ in the next version, as {\"price_minor\": \"9900\"}; unknown fields are ignored.",
                ));
            }
            let change = PlanChange {
                ctx: &call.ctx,
                key: key.as_ref(),
                project: &project,
                plan: &name,
                etag: &etag,
            };
            Ok(convert::plan(self.app.update_plan(change, &patch).await?))
        })
        .await
    }
}

//! Tenants.

use tenantry_core::{Permission, Reason, Refusal, TenantRef};
use tenantry_proto::registry::v1 as wire;
use tenantry_proto::registry::v1::tenant_service_server::TenantService;
use tenantry_rpc::{answer, open};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::step::StepRequest;
use super::target::{managed, require, target};
use super::tenant_list;
use crate::app::{App, Change, Parent};
use crate::convert;
use crate::feed::Feed;

#[derive(Debug)]
pub(crate) struct Tenants {
    app: App,
    feed: Feed,
}

impl Tenants {
    pub(crate) const fn new(app: App, feed: Feed) -> Self {
        Self { app, feed }
    }

    /// Moves a tenant along in its life: a right of operators and of those who manage it from above.
    async fn step<T: StepRequest>(&self, request: Request<T>) -> Result<wire::Tenant, Refusal> {
        let mut call = open(request)?;
        let id = managed(&self.app, &call.ctx, call.message.tenant()).await?;
        let key = call.request_key(StepRequest::request_id)?;
        let step = call.message.step()?;
        let change = Change::new(&call.ctx, &key, id, call.message.etag());
        Ok(convert::tenant(if call.message.cascades() {
            self.app.cascade(change, &step).await?
        } else {
            self.app.step(change, &step).await?
        }))
    }

    /// Deletes hard: the purge, under another name.
    async fn delete_for_good(
        &self,
        request: Request<wire::DeleteTenantRequest>,
    ) -> Result<wire::Tenant, Refusal> {
        let mut call = open(request)?;
        let id = managed(&self.app, &call.ctx, &call.message.tenant).await?;
        let key = call.request_key(|message| &mut message.request_id)?;
        let change = Change::new(&call.ctx, &key, id, &call.message.etag);
        self.purge(change, call.message.force).await
    }

    /// Shows what a purge would remove, or by force starts it.
    async fn purge(&self, change: Change<'_>, force: bool) -> Result<wire::Tenant, Refusal> {
        if force {
            let tenant = self.app.purge(change).await?;
            let report = self.app.purge_report(&tenant).await?;
            return Ok(convert::tenant_with(tenant, report));
        }
        let (tenant, report) = self.app.preview_purge(change).await?;
        Ok(convert::tenant_with(tenant, Some(report)))
    }
}

#[tonic::async_trait]
impl TenantService for Tenants {
    async fn create_tenant(
        &self,
        request: Request<wire::CreateTenantRequest>,
    ) -> Result<Response<wire::Tenant>, Status> {
        answer(async {
            let mut call = open(request)?;
            let ctx = &call.ctx.clone();
            let parent = if ctx.allows(Permission::PlatformTenantsManage) {
                Parent::Operator(TenantRef::parse(&call.message.parent_id))
            } else if call.message.parent_id.is_empty() {
                return Err(Refusal::lacks(Permission::PlatformTenantsManage));
            } else {
                let parent = target(&self.app, ctx, &call.message.parent_id).await?;
                ctx.require(Permission::TenantsCreate)?;
                Parent::Own(parent)
            };
            let key = call.request_key(|message| &mut message.request_id)?;
            let new = convert::new_tenant(call.message)?;
            new.check()?;
            let tenant = self.app.create(ctx, key.as_ref(), parent, new).await?;
            let figures = self.app.first_figures(&tenant).await?;
            Ok(convert::with_figures(
                convert::tenant(tenant),
                Some(figures),
            ))
        })
        .await
    }

    async fn get_tenant(
        &self,
        request: Request<wire::GetTenantRequest>,
    ) -> Result<Response<wire::Tenant>, Status> {
        answer(async {
            let call = open(request)?;
            let id = target(&self.app, &call.ctx, &call.message.tenant).await?;
            require(&call.ctx, Permission::TenantsRead)?;
            let (read, figures) = tokio::join!(self.app.get(&call.ctx, id), self.app.figures(id));
            let (tenant, children) = read?;
            let report = self.app.purge_report(&tenant).await?;
            let mut tenant = convert::tenant_with(tenant, report);
            tenant.sub_tenants_count = Some(i32::try_from(children).unwrap_or(i32::MAX));
            Ok(convert::with_figures(tenant, figures))
        })
        .await
    }

    async fn list_tenants(
        &self,
        request: Request<wire::ListTenantsRequest>,
    ) -> Result<Response<wire::ListTenantsResponse>, Status> {
        answer(async {
            let call = open(request)?;
            let (query, tokens) = tenant_list::query(&self.app, &call.ctx, &call.message).await?;
            let page = self.app.list(&query, &tokens).await?;
            Ok::<_, Refusal>(wire::ListTenantsResponse {
                tenants: page.items.into_iter().map(convert::tenant).collect(),
                next_page_token: page.next_page_token,
            })
        })
        .await
    }

    async fn update_tenant(
        &self,
        request: Request<wire::UpdateTenantRequest>,
    ) -> Result<Response<wire::Tenant>, Status> {
        answer(async {
            let mut call = open(request)?;
            let id = target(&self.app, &call.ctx, &call.message.tenant).await?;
            require(&call.ctx, Permission::TenantsUpdate)?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let etag = std::mem::take(&mut call.message.etag);
            let patch = convert::patch(call.message)?;
            if patch.is_empty() {
                return Err(Refusal::new(
                    Reason::NothingToUpdate,
                    "The update names no field of a tenant. Send the fields to change, as {\"name\": \"New name\"}; unknown fields are ignored.",
                ));
            }
            if patch.needs_manage() {
                require(&call.ctx, Permission::TenantsManage)?;
            }
            patch.check()?;
            let change = Change::new(&call.ctx, &key, id, &etag);
            Ok(convert::tenant(self.app.update(change, &patch).await?))
        })
        .await
    }

    async fn suspend_tenant(
        &self,
        request: Request<wire::SuspendTenantRequest>,
    ) -> Result<Response<wire::Tenant>, Status> {
        answer(self.step(request)).await
    }

    async fn resume_tenant(
        &self,
        request: Request<wire::ResumeTenantRequest>,
    ) -> Result<Response<wire::Tenant>, Status> {
        answer(self.step(request)).await
    }

    async fn archive_tenant(
        &self,
        request: Request<wire::ArchiveTenantRequest>,
    ) -> Result<Response<wire::Tenant>, Status> {
        answer(self.step(request)).await
    }

    async fn delete_tenant(
        &self,
        request: Request<wire::DeleteTenantRequest>,
    ) -> Result<Response<wire::Tenant>, Status> {
        answer(async {
            if request.get_ref().hard {
                return self.delete_for_good(request).await;
            }
            self.step(request).await
        })
        .await
    }

    async fn purge_tenant(
        &self,
        request: Request<wire::PurgeTenantRequest>,
    ) -> Result<Response<wire::Tenant>, Status> {
        answer(async {
            let mut call = open(request)?;
            let id = managed(&self.app, &call.ctx, &call.message.tenant).await?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let change = Change::new(&call.ctx, &key, id, &call.message.etag);
            self.purge(change, call.message.force).await
        })
        .await
    }

    async fn undelete_tenant(
        &self,
        request: Request<wire::UndeleteTenantRequest>,
    ) -> Result<Response<wire::Tenant>, Status> {
        answer(self.step(request)).await
    }

    async fn move_tenant(
        &self,
        request: Request<wire::MoveTenantRequest>,
    ) -> Result<Response<wire::Tenant>, Status> {
        answer(async {
            let mut call = open(request)?;
            let id = managed(&self.app, &call.ctx, &call.message.tenant).await?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let to = TenantRef::parse(&call.message.new_parent);
            if to.is_none() {
                call.ctx.require(Permission::PlatformTenantsManage)?;
            }
            let change = Change::new(&call.ctx, &key, id, &call.message.etag);
            let moved = self.app.move_tenant(change, to.as_ref()).await?;
            Ok(convert::tenant(moved))
        })
        .await
    }

    type WatchTenantsStream = ReceiverStream<Result<wire::WatchTenantsResponse, Status>>;

    async fn watch_tenants(
        &self,
        request: Request<wire::WatchTenantsRequest>,
    ) -> Result<Response<Self::WatchTenantsStream>, Status> {
        answer(async {
            let call = open(request)?;
            let tenant = if tenant_list::sees_all(&call.ctx)? {
                None
            } else {
                Some(target(&self.app, &call.ctx, "").await?)
            };
            require(&call.ctx, Permission::TenantsRead)?;
            if let Some(own) = tenant {
                self.app.admit(&call.ctx, own).await?;
            }
            self.feed
                .watch(&call.ctx, tenant, &call.message.resume_token)
                .await
        })
        .await
    }
}

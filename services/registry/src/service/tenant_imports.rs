//! Imports of tenants.

use tenantry_core::page::{self, PageTokens};
use tenantry_core::tenant::project_or_default;
use tenantry_core::{Permission, Refusal, TenantImportId};
use tenantry_proto::registry::v1 as wire;
use tenantry_proto::registry::v1::tenant_import_service_server::TenantImportService;
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use crate::app::{App, NewImport};
use crate::convert::{self, import_file};
use crate::domain::import::Outcome;
use crate::error::Error;

#[derive(Debug)]
pub(crate) struct TenantImports {
    app: App,
}

impl TenantImports {
    pub(crate) const fn new(app: App) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl TenantImportService for TenantImports {
    async fn import_tenants(
        &self,
        request: Request<wire::ImportTenantsRequest>,
    ) -> Result<Response<wire::TenantImport>, Status> {
        answer(async {
            let mut call = open(request)?;
            call.ctx.require(Permission::PlatformTenantsManage)?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let message = call.message;
            let project = project_or_default(&message.project).to_owned();
            let format = message
                .format
                .parse()
                .map_err(|_| Refusal::field("format", "must be csv or ndjson"))?;
            let new = NewImport {
                rows: import_file::read(&project, format, &message.content)?,
                project,
                format,
                dry_run: message.dry_run,
            };
            let import = self.app.start_import(&call.ctx, key.as_ref(), new).await?;
            Ok(convert::import(import))
        })
        .await
    }

    async fn get_tenant_import(
        &self,
        request: Request<wire::GetTenantImportRequest>,
    ) -> Result<Response<wire::TenantImport>, Status> {
        answer(async {
            let call = open(request)?;
            call.ctx.require(Permission::PlatformTenantsManage)?;
            let id = id(&call.message.tenant_import)?;
            Ok(convert::import(self.app.import(id).await?))
        })
        .await
    }

    async fn list_tenant_imports(
        &self,
        request: Request<wire::ListTenantImportsRequest>,
    ) -> Result<Response<wire::ListTenantImportsResponse>, Status> {
        answer(async {
            let call = open(request)?;
            call.ctx.require(Permission::PlatformTenantsManage)?;
            let tokens = PageTokens::new(self.app.store().sealer(), &call.ctx.method, &[]);
            let size = page::size(call.message.page_size)?;
            let page_token = &call.message.page_token;
            let page = self.app.imports(&tokens, size, page_token).await?;
            Ok(wire::ListTenantImportsResponse {
                tenant_imports: page.items.into_iter().map(convert::import).collect(),
                next_page_token: page.next_page_token,
            })
        })
        .await
    }

    async fn list_tenant_import_rows(
        &self,
        request: Request<wire::ListTenantImportRowsRequest>,
    ) -> Result<Response<wire::ListTenantImportRowsResponse>, Status> {
        answer(async {
            let call = open(request)?;
            call.ctx.require(Permission::PlatformTenantsManage)?;
            let message = call.message;
            let id = id(&message.tenant_import)?;
            let of = [message.tenant_import.as_str(), message.outcome.as_str()];
            let tokens = PageTokens::new(self.app.store().sealer(), &call.ctx.method, &of);
            let size = page::size(message.page_size)?;
            let outcome = outcome(&message.outcome)?;
            let page_token = &message.page_token;
            let asked = self.app.import_rows(id, outcome, &tokens, size, page_token);
            let (page, dry_run) = asked.await?;
            let rows = page.items.into_iter();
            Ok(wire::ListTenantImportRowsResponse {
                rows: rows.map(|row| convert::import_row(row, dry_run)).collect(),
                next_page_token: page.next_page_token,
            })
        })
        .await
    }

    async fn cancel_tenant_import(
        &self,
        request: Request<wire::CancelTenantImportRequest>,
    ) -> Result<Response<wire::TenantImport>, Status> {
        answer(async {
            let mut call = open(request)?;
            call.ctx.require(Permission::PlatformTenantsManage)?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let id = id(&call.message.tenant_import)?;
            let import = self.app.cancel_import(&call.ctx, key.as_ref(), id).await?;
            Ok(convert::import(import))
        })
        .await
    }
}

fn id(text: &str) -> Result<TenantImportId, Error> {
    text.parse().map_err(|_| Error::ImportNotFound)
}

fn outcome(word: &str) -> Result<Option<Outcome>, Refusal> {
    let parsed = match word {
        "" => return Ok(None),
        word => word.parse(),
    };
    parsed
        .map(Some)
        .map_err(|_| Refusal::field("outcome", "must be pending, created, exists or refused"))
}

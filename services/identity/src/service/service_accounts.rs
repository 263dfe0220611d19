//! ServiceAccountService: a tenant's programs.

use std::sync::Arc;

use tenantry_core::page::{self, PageTokens};
use tenantry_core::refusal::Violations;
use tenantry_core::{Permission, Reason, Refusal};
use tenantry_proto::identity::v1::service_account_service_server::ServiceAccountService;
use tenantry_proto::identity::v1::{
    CreateServiceAccountRequest, DeleteServiceAccountRequest, GetServiceAccountRequest,
    ListServiceAccountsRequest, ListServiceAccountsResponse, ServiceAccount,
    UpdateServiceAccountRequest,
};
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use super::id;
use crate::app::App;
use crate::convert;
use crate::domain::service_account::Patch;
use crate::domain::{api_key, field};

/// The handlers.
#[derive(Clone, Debug)]
pub(crate) struct ServiceAccounts(pub(crate) Arc<App>);

#[tonic::async_trait]
impl ServiceAccountService for ServiceAccounts {
    async fn create_service_account(
        &self,
        request: Request<CreateServiceAccountRequest>,
    ) -> Result<Response<ServiceAccount>, Status> {
        answer(async {
            let mut call = open(request)?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let message = call.message;
            let tenant = self
                .0
                .authorise(&call.ctx, &message.tenant, Permission::ApiKeysManage)
                .await?;
            let mut wrong = Violations::new();
            let name = wrong.take("name", field::name(&message.name));
            let asked = wrong.take("permissions", field::permissions(&message.permissions));
            wrong.check()?;
            let permissions = api_key::grant(asked.flatten(), call.ctx.permissions)?;
            let made = self
                .0
                .create_service_account(
                    &call.ctx,
                    key,
                    tenant.id,
                    name.unwrap_or_default(),
                    permissions,
                )
                .await?;
            Ok(convert::service_account(made))
        })
        .await
    }

    async fn get_service_account(
        &self,
        request: Request<GetServiceAccountRequest>,
    ) -> Result<Response<ServiceAccount>, Status> {
        answer(async {
            let call = open(request)?;
            let message = call.message;
            let tenant = self
                .0
                .authorise(&call.ctx, &message.tenant, Permission::ApiKeysRead)
                .await?;
            let id = id("service_account", &message.service_account)?;
            Ok(convert::service_account(
                self.0.service_account(tenant.id, id).await?,
            ))
        })
        .await
    }

    async fn list_service_accounts(
        &self,
        request: Request<ListServiceAccountsRequest>,
    ) -> Result<Response<ListServiceAccountsResponse>, Status> {
        answer(async {
            let call = open(request)?;
            let message = call.message;
            let tenant = self
                .0
                .authorise(&call.ctx, &message.tenant, Permission::ApiKeysRead)
                .await?;
            let scope = tenant.id.to_string();
            let tokens = PageTokens::new(self.0.store.sealer(), &call.ctx.method, &[&scope]);
            let size = page::size(message.page_size)?;
            let page = self
                .0
                .list_service_accounts(&tokens, tenant.id, size, &message.page_token)
                .await?;
            Ok(ListServiceAccountsResponse {
                service_accounts: page
                    .items
                    .into_iter()
                    .map(convert::service_account)
                    .collect(),
                next_page_token: page.next_page_token,
            })
        })
        .await
    }

    async fn update_service_account(
        &self,
        request: Request<UpdateServiceAccountRequest>,
    ) -> Result<Response<ServiceAccount>, Status> {
        answer(async {
            let mut call = open(request)?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let message = call.message;
            let tenant = self
                .0
                .authorise(&call.ctx, &message.tenant, Permission::ApiKeysManage)
                .await?;
            let id = id("service_account", &message.service_account)?;
            let patch = patch(&message)?;
            let updated = self
                .0
                .update_service_account(&call.ctx, key, tenant.id, id, patch)
                .await?;
            Ok(convert::service_account(updated))
        })
        .await
    }

    async fn delete_service_account(
        &self,
        request: Request<DeleteServiceAccountRequest>,
    ) -> Result<Response<()>, Status> {
        answer(async {
            let mut call = open(request)?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let message = call.message;
            let tenant = self
                .0
                .authorise(&call.ctx, &message.tenant, Permission::ApiKeysManage)
                .await?;
            let id = id("service_account", &message.service_account)?;
            Ok(self
                .0
                .delete_service_account(&call.ctx, key, tenant.id, id)
                .await?)
        })
        .await
    }
}

/// Reads what is to change.
fn patch(message: &UpdateServiceAccountRequest) -> Result<Patch, Refusal> {
    let mut wrong = Violations::new();
    let name = message.name.as_deref().map(field::name);
    let name = name.and_then(|name| wrong.take("name", name));
    let permissions = wrong.take("permissions", field::permissions(&message.permissions));
    wrong.check()?;
    let patch = Patch {
        name,
        permissions: permissions.flatten(),
        disabled: message.disabled,
    };
    if patch.name.is_none() && patch.permissions.is_none() && patch.disabled.is_none() {
        return Err(Refusal::new(
            Reason::NothingToUpdate,
            "The update names no field. Give name, permissions or disabled.",
        ));
    }
    Ok(patch)
}

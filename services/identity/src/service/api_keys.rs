//! ApiKeyService: credentials of a tenant's programs.

use std::sync::Arc;

use tenantry_core::page::{self, PageTokens};
use tenantry_core::refusal::Violations;
use tenantry_core::{Permission, Permissions, Refusal};
use tenantry_proto::identity::v1::api_key_service_server::ApiKeyService;
use tenantry_proto::identity::v1::{
    ApiKey, CreateApiKeyRequest, CreateApiKeyResponse, ListApiKeysRequest, ListApiKeysResponse,
    RevokeApiKeyRequest,
};
use tenantry_rpc::{answer, convert as wire, open};
use tonic::{Request, Response, Status};

use super::id;
use crate::app::App;
use crate::app::api_keys::NewKey;
use crate::convert;
use crate::domain::{api_key, field};

/// The handlers.
#[derive(Clone, Debug)]
pub(crate) struct ApiKeys(pub(crate) Arc<App>);

/// What a new key is to be, as the caller said it.
pub(super) struct Asked {
    pub(super) name: String,
    pub(super) permissions: Option<Permissions>,
    pub(super) expires_at: Option<jiff::Timestamp>,
}

#[tonic::async_trait]
impl ApiKeyService for ApiKeys {
    async fn create_api_key(
        &self,
        request: Request<CreateApiKeyRequest>,
    ) -> Result<Response<CreateApiKeyResponse>, Status> {
        answer(async {
            let mut call = open(request)?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let message = call.message;
            let tenant = self
                .0
                .authorise(&call.ctx, &message.tenant, Permission::ApiKeysManage)
                .await?;
            let asked = parse(
                &message.name,
                &message.permissions,
                message.expires_at.as_ref(),
            )?;
            let new = NewKey {
                tenant: tenant.id,
                name: asked.name,
                permissions: api_key::grant(asked.permissions, call.ctx.permissions)?,
                expires_at: asked.expires_at,
            };
            Ok(convert::made(
                self.0.create_api_key(&call.ctx, key, new).await?,
            ))
        })
        .await
    }

    async fn list_api_keys(
        &self,
        request: Request<ListApiKeysRequest>,
    ) -> Result<Response<ListApiKeysResponse>, Status> {
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
                .list_api_keys(&tokens, &tenant, size, &message.page_token)
                .await?;
            Ok(ListApiKeysResponse {
                api_keys: page.items.into_iter().map(convert::api_key).collect(),
                next_page_token: page.next_page_token,
            })
        })
        .await
    }

    async fn revoke_api_key(
        &self,
        request: Request<RevokeApiKeyRequest>,
    ) -> Result<Response<ApiKey>, Status> {
        answer(async {
            let mut call = open(request)?;
            let request_key = call.request_key(|message| &mut message.request_id)?;
            let message = call.message;
            let tenant = self
                .0
                .authorise(&call.ctx, &message.tenant, Permission::ApiKeysManage)
                .await?;
            let api_key = id("api_key", &message.api_key)?;
            let key = self
                .0
                .revoke_api_key(&call.ctx, request_key, &tenant, api_key)
                .await?;
            Ok(convert::api_key(key))
        })
        .await
    }
}

/// Reads what a new key is to be. That its end is yet to come is looked at once the request is known to be no repetition,
/// for which it may have passed.
pub(super) fn parse(
    name: &str,
    permissions: &[String],
    expires_at: Option<&prost_types::Timestamp>,
) -> Result<Asked, Refusal> {
    let mut wrong = Violations::new();
    let name = wrong.take("name", field::name(name));
    let permissions = wrong.take("permissions", field::permissions(permissions));
    let expires_at = expires_at
        .map(|at| wire::instant("expires_at", at))
        .transpose()?
        .and_then(|at| wrong.take("expires_at", field::as_stored(at)));
    wrong.check()?;
    Ok(Asked {
        name: name.unwrap_or_default(),
        permissions: permissions.flatten(),
        expires_at,
    })
}

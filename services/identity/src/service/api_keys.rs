//! ApiKeyService: credentials of a tenant's programs.

use std::sync::Arc;

use jiff::SignedDuration;
use tenantry_core::page::{self, PageTokens};
use tenantry_core::refusal::Violations;
use tenantry_core::{Permission, Permissions, Refusal};
use tenantry_proto::identity::v1::api_key_service_server::ApiKeyService;
use tenantry_proto::identity::v1::{
    ApiKey, CreateApiKeyRequest, CreateApiKeyResponse, GetApiKeyRequest, ListApiKeysRequest,
    ListApiKeysResponse, RevokeApiKeyRequest, RotateApiKeyRequest,
};
use tenantry_rpc::{answer, convert as wire, open};
use tonic::{Request, Response, Status};

use super::id;
use crate::app::App;
use crate::app::api_keys::{Grant, NewKey};
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
            let grant = if message.service_account.is_empty() {
                Grant::Decided(api_key::grant(asked.permissions, call.ctx.permissions)?)
            } else {
                let account = id("service_account", &message.service_account)?;
                Grant::Of(account, asked.permissions)
            };
            let new = NewKey {
                tenant: tenant.id,
                name: asked.name,
                grant,
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
                .list_api_keys(&tokens, tenant.id, size, &message.page_token)
                .await?;
            Ok(convert::api_keys(page))
        })
        .await
    }

    async fn get_api_key(
        &self,
        request: Request<GetApiKeyRequest>,
    ) -> Result<Response<ApiKey>, Status> {
        answer(async {
            let call = open(request)?;
            let message = call.message;
            let tenant = self
                .0
                .authorise(&call.ctx, &message.tenant, Permission::ApiKeysRead)
                .await?;
            let api_key = id("api_key", &message.api_key)?;
            Ok(convert::api_key(self.0.api_key(tenant.id, api_key).await?))
        })
        .await
    }

    async fn rotate_api_key(
        &self,
        request: Request<RotateApiKeyRequest>,
    ) -> Result<Response<CreateApiKeyResponse>, Status> {
        answer(async {
            let mut call = open(request)?;
            let request_key = call.request_key(|message| &mut message.request_id)?;
            let message = call.message;
            let tenant = self
                .0
                .authorise(&call.ctx, &message.tenant, Permission::ApiKeysManage)
                .await?;
            let api_key = id("api_key", &message.api_key)?;
            let overlap = overlap(message.overlap.as_ref())?;
            let made = self
                .0
                .rotate_api_key(&call.ctx, request_key, tenant.id, api_key, overlap)
                .await?;
            Ok(convert::made(made))
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
                .revoke_api_key(&call.ctx, request_key, tenant.id, api_key)
                .await?;
            Ok(convert::api_key(key))
        })
        .await
    }
}

/// How long a rotated secret goes on.
pub(super) fn overlap(asked: Option<&prost_types::Duration>) -> Result<SignedDuration, Refusal> {
    let Some(asked) = asked else {
        return Ok(api_key::OVERLAP);
    };
    let longest = api_key::MAX_OVERLAP;
    // Looked at one by one: a duration of the two may not exist.
    let overlap = ((0..=longest.as_secs()).contains(&asked.seconds)
        && (0..1_000_000_000).contains(&asked.nanos))
    .then(|| SignedDuration::new(asked.seconds, asked.nanos));
    overlap
        .filter(|overlap| *overlap <= longest)
        .ok_or_else(|| {
            Refusal::field(
                "overlap",
                "must be 0 to 30 days, in seconds: 86400s is a day",
            )
        })
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

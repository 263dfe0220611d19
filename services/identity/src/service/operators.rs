//! OperatorService: the people and programs of the company that runs the platform.

use std::sync::Arc;

use tenantry_core::page::{self, PageTokens};
use tenantry_core::refusal::Violations;
use tenantry_core::{Permissions, Refusal, TenantId};
use tenantry_proto::identity::v1::operator_service_server::OperatorService;
use tenantry_proto::identity::v1::{
    ApiKey, BootstrapRequest, CreateApiKeyResponse, CreateOperatorRequest,
    CreatePlatformApiKeyRequest, GetOperatorRequest, ListApiKeysResponse, ListOperatorsRequest,
    ListOperatorsResponse, ListPlatformApiKeysRequest, Operator, RemoveOperatorRequest,
    RevokePlatformApiKeyRequest, RotatePlatformApiKeyRequest, UpdateOperatorRequest,
};
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use super::{api_keys, id, password};
use crate::app::App;
use crate::app::api_keys::{Grant, NewKey};
use crate::app::operators::NewOperator;
use crate::convert;
use crate::domain::{field, operator};

/// The handlers.
#[derive(Clone, Debug)]
pub(crate) struct Operators(pub(crate) Arc<App>);

#[tonic::async_trait]
impl OperatorService for Operators {
    async fn bootstrap(
        &self,
        request: Request<BootstrapRequest>,
    ) -> Result<Response<Operator>, Status> {
        answer(async {
            let mut call = open(request)?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let message = call.message;
            let mut new = parse(&message.email, &message.name, message.password)?;
            new.permissions = Permissions::PLATFORM;
            let made = self
                .0
                .bootstrap(&call.ctx, key, &message.token, new)
                .await?;
            Ok(convert::operator(made))
        })
        .await
    }

    async fn create_operator(
        &self,
        request: Request<CreateOperatorRequest>,
    ) -> Result<Response<Operator>, Status> {
        answer(async {
            let mut call = open(request)?;
            call.ctx.require(operator::MANAGER)?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let message = call.message;
            let mut new = parse(&message.email, &message.name, message.password)?;
            let asked = field::permissions(&message.permissions)
                .map_err(|why| Refusal::field("permissions", why))?;
            new.permissions = operator::grant(asked, operator::FIRST, call.ctx.permissions)?;
            let made = self.0.create_operator(&call.ctx, key, new).await?;
            Ok(convert::operator(made))
        })
        .await
    }

    async fn list_operators(
        &self,
        request: Request<ListOperatorsRequest>,
    ) -> Result<Response<ListOperatorsResponse>, Status> {
        answer(async {
            let call = open(request)?;
            call.ctx.require(operator::MANAGER)?;
            let tokens = PageTokens::new(self.0.store.sealer(), &call.ctx.method, &[]);
            let size = page::size(call.message.page_size)?;
            let page = self
                .0
                .list_operators(&tokens, size, &call.message.page_token)
                .await?;
            Ok(ListOperatorsResponse {
                operators: page.items.into_iter().map(convert::operator).collect(),
                next_page_token: page.next_page_token,
            })
        })
        .await
    }

    async fn create_platform_api_key(
        &self,
        request: Request<CreatePlatformApiKeyRequest>,
    ) -> Result<Response<CreateApiKeyResponse>, Status> {
        answer(async {
            let mut call = open(request)?;
            call.ctx.require(operator::MANAGER)?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let message = call.message;
            let asked = api_keys::parse(
                &message.name,
                &message.permissions,
                message.expires_at.as_ref(),
            )?;
            let own = call.ctx.permissions.intersection(Permissions::PLATFORM);
            let new = NewKey {
                tenant: TenantId::PLATFORM,
                name: asked.name,
                grant: Grant::Decided(operator::grant(asked.permissions, own, own)?),
                expires_at: asked.expires_at,
            };
            Ok(convert::made(
                self.0.create_api_key(&call.ctx, key, new).await?,
            ))
        })
        .await
    }

    async fn get_operator(
        &self,
        request: Request<GetOperatorRequest>,
    ) -> Result<Response<Operator>, Status> {
        answer(async {
            let call = open(request)?;
            call.ctx.require(operator::MANAGER)?;
            let id = id("operator", &call.message.operator)?;
            Ok(convert::operator(self.0.operator(id).await?))
        })
        .await
    }

    async fn update_operator(
        &self,
        request: Request<UpdateOperatorRequest>,
    ) -> Result<Response<Operator>, Status> {
        answer(async {
            let mut call = open(request)?;
            call.ctx.require(operator::MANAGER)?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let message = call.message;
            let id = id("operator", &message.operator)?;
            let asked = field::permissions(&message.permissions)
                .map_err(|why| Refusal::field("permissions", why))?;
            let asked = asked.ok_or_else(|| {
                Refusal::field(
                    "permissions",
                    "must be at least one; to take all, remove the operator",
                )
            })?;
            let permissions = operator::of_platform(asked)?;
            let updated = self
                .0
                .update_operator(&call.ctx, key, id, permissions)
                .await?;
            Ok(convert::operator(updated))
        })
        .await
    }

    async fn remove_operator(
        &self,
        request: Request<RemoveOperatorRequest>,
    ) -> Result<Response<()>, Status> {
        answer(async {
            let mut call = open(request)?;
            call.ctx.require(operator::MANAGER)?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let id = id("operator", &call.message.operator)?;
            Ok(self.0.remove_operator(&call.ctx, key, id).await?)
        })
        .await
    }

    async fn list_platform_api_keys(
        &self,
        request: Request<ListPlatformApiKeysRequest>,
    ) -> Result<Response<ListApiKeysResponse>, Status> {
        answer(async {
            let call = open(request)?;
            call.ctx.require(operator::MANAGER)?;
            let tokens = PageTokens::new(self.0.store.sealer(), &call.ctx.method, &[]);
            let size = page::size(call.message.page_size)?;
            let page = self
                .0
                .list_api_keys(&tokens, TenantId::PLATFORM, size, &call.message.page_token)
                .await?;
            Ok(convert::api_keys(page))
        })
        .await
    }

    async fn rotate_platform_api_key(
        &self,
        request: Request<RotatePlatformApiKeyRequest>,
    ) -> Result<Response<CreateApiKeyResponse>, Status> {
        answer(async {
            let mut call = open(request)?;
            call.ctx.require(operator::MANAGER)?;
            let request_key = call.request_key(|message| &mut message.request_id)?;
            let message = call.message;
            let api_key = id("api_key", &message.api_key)?;
            let overlap = api_keys::overlap(message.overlap.as_ref())?;
            let scope = TenantId::PLATFORM;
            let made = self
                .0
                .rotate_api_key(&call.ctx, request_key, scope, api_key, overlap)
                .await?;
            Ok(convert::made(made))
        })
        .await
    }

    async fn revoke_platform_api_key(
        &self,
        request: Request<RevokePlatformApiKeyRequest>,
    ) -> Result<Response<ApiKey>, Status> {
        answer(async {
            let mut call = open(request)?;
            call.ctx.require(operator::MANAGER)?;
            let request_key = call.request_key(|message| &mut message.request_id)?;
            let api_key = id("api_key", &call.message.api_key)?;
            let key = self
                .0
                .revoke_api_key(&call.ctx, request_key, TenantId::PLATFORM, api_key)
                .await?;
            Ok(convert::api_key(key))
        })
        .await
    }
}

/// Reads who becomes an operator; the permissions are still to be decided.
fn parse(email: &str, name: &str, secret: String) -> Result<NewOperator, Refusal> {
    let mut wrong = Violations::new();
    let email = wrong.take("email", field::email(email)).unwrap_or_default();
    let name = wrong.take("name", field::person(name, &email));
    let password = password(&mut wrong, secret);
    wrong.check()?;
    Ok(NewOperator {
        email,
        name: name.unwrap_or_default(),
        password,
        permissions: Permissions::NONE,
    })
}

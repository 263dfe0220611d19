//! IdentityProviderService: whom a tenant or a project lets speak for its people.

use std::sync::Arc;

use secrecy::SecretString;
use tenantry_core::page::{self, PageTokens};
use tenantry_core::refusal::Violations;
use tenantry_core::{Permission, Reason, Refusal, RequestContext};
use tenantry_proto::identity::v1 as wire;
use tenantry_proto::identity::v1::identity_provider_service_server::IdentityProviderService;
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use super::id;
use crate::app::App;
use crate::app::identity_providers::Change;
use crate::convert;
use crate::domain::identity_provider::{self, Scope};
use crate::error::Error;

/// The handlers.
#[derive(Clone, Debug)]
pub(crate) struct IdentityProviders(pub(crate) Arc<App>);

impl IdentityProviders {
    /// Whose providers a request is about, once the caller may have to do with them: a tenant's by a right in it, a
    /// project's by the right on the platform.
    async fn scope(
        &self,
        ctx: &RequestContext,
        (tenant, project): (&str, &str),
        permission: Permission,
    ) -> Result<Scope, Error> {
        if project.is_empty() {
            let entry = self.0.authorise(ctx, tenant, permission).await?;
            return Ok(Scope::Tenant(entry.id));
        }
        ctx.require(Permission::PlatformTenantsManage)?;
        let mut wrong = Violations::new();
        if !tenant.is_empty() {
            wrong.add(
                "tenant",
                "can't be given with a project; give one of the two",
            );
        }
        let project = wrong.take("project", identity_provider::project(project));
        wrong.check()?;
        Ok(Scope::Project(project.unwrap_or_default()))
    }
}

#[tonic::async_trait]
impl IdentityProviderService for IdentityProviders {
    async fn create_identity_provider(
        &self,
        request: Request<wire::CreateIdentityProviderRequest>,
    ) -> Result<Response<wire::IdentityProvider>, Status> {
        answer(async {
            let mut call = open(request)?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let mut message = call.message;
            let named = (message.tenant.as_str(), message.project.as_str());
            let scope = self
                .scope(&call.ctx, named, Permission::IdentityProvidersManage)
                .await?;
            let secret = secret(std::mem::take(&mut message.client_secret))?;
            let new = convert::new_identity_provider(message);
            let new = new.check(&scope, self.0.oidc.is_insecure())?;
            let made = self
                .0
                .create_identity_provider(&call.ctx, key, &scope, new, secret)
                .await?;
            Ok(convert::identity_provider(made))
        })
        .await
    }

    async fn get_identity_provider(
        &self,
        request: Request<wire::GetIdentityProviderRequest>,
    ) -> Result<Response<wire::IdentityProvider>, Status> {
        answer(async {
            let call = open(request)?;
            let message = call.message;
            let named = (message.tenant.as_str(), message.project.as_str());
            let scope = self
                .scope(&call.ctx, named, Permission::IdentityProvidersRead)
                .await?;
            let id = id("identity_provider", &message.identity_provider)?;
            Ok(convert::identity_provider(
                self.0.identity_provider(&scope, id).await?,
            ))
        })
        .await
    }

    async fn list_identity_providers(
        &self,
        request: Request<wire::ListIdentityProvidersRequest>,
    ) -> Result<Response<wire::ListIdentityProvidersResponse>, Status> {
        answer(async {
            let call = open(request)?;
            let message = call.message;
            let named = (message.tenant.as_str(), message.project.as_str());
            let scope = self
                .scope(&call.ctx, named, Permission::IdentityProvidersRead)
                .await?;
            let owner = scope.tenant().to_string();
            let bound = [owner.as_str(), scope.project()];
            let tokens = PageTokens::new(self.0.store.sealer(), &call.ctx.method, &bound);
            let size = page::size(message.page_size)?;
            let page = self
                .0
                .list_identity_providers(&tokens, &scope, size, &message.page_token)
                .await?;
            Ok(wire::ListIdentityProvidersResponse {
                identity_providers: page
                    .items
                    .into_iter()
                    .map(convert::identity_provider)
                    .collect(),
                next_page_token: page.next_page_token,
            })
        })
        .await
    }

    async fn update_identity_provider(
        &self,
        request: Request<wire::UpdateIdentityProviderRequest>,
    ) -> Result<Response<wire::IdentityProvider>, Status> {
        answer(async {
            let mut call = open(request)?;
            let request_key = call.request_key(|message| &mut message.request_id)?;
            let mut message = call.message;
            let named = (message.tenant.as_str(), message.project.as_str());
            let scope = self.scope(&call.ctx, named, Permission::IdentityProvidersManage).await?;
            let id = id("identity_provider", &message.identity_provider)?;
            let etag = std::mem::take(&mut message.etag);
            let (patch, client_secret) = convert::identity_provider_patch(message)?;
            if patch.is_empty() && client_secret.is_none() {
                return Err(Refusal::new(
                    Reason::NothingToUpdate,
                    "The update names no field of an identity provider. Send the fields to change, as {\"enabled\": false}; unknown fields are ignored.",
                ));
            }
            let client_secret = match client_secret {
                Some(text) if text.is_empty() => Some(SecretString::default()),
                Some(text) => secret(text)?,
                None => None,
            };
            let patch = patch.check(&scope, self.0.oidc.is_insecure())?;
            let change = Change { ctx: &call.ctx, request: request_key, scope, id };
            let provider = self
                .0
                .update_identity_provider(change, patch, client_secret, &etag)
                .await?;
            Ok(convert::identity_provider(provider))
        })
        .await
    }

    async fn delete_identity_provider(
        &self,
        request: Request<wire::DeleteIdentityProviderRequest>,
    ) -> Result<Response<wire::DeleteIdentityProviderResponse>, Status> {
        answer(async {
            let mut call = open(request)?;
            let request_key = call.request_key(|message| &mut message.request_id)?;
            let message = call.message;
            let named = (message.tenant.as_str(), message.project.as_str());
            let scope = self
                .scope(&call.ctx, named, Permission::IdentityProvidersManage)
                .await?;
            let id = id("identity_provider", &message.identity_provider)?;
            let change = Change {
                ctx: &call.ctx,
                request: request_key,
                scope,
                id,
            };
            self.0.delete_identity_provider(change).await?;
            Ok(wire::DeleteIdentityProviderResponse {})
        })
        .await
    }
}

/// A client's secret in a message, where there is one.
fn secret(text: String) -> Result<Option<SecretString>, Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    identity_provider::client_secret(&text).map_err(|why| Refusal::field("client_secret", why))?;
    Ok(Some(text.into()))
}

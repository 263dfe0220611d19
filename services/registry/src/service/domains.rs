//! Domains.

use tenantry_core::{Permission, Refusal, RequestContext, TenantId};
use tenantry_proto::registry::v1 as wire;
use tenantry_proto::registry::v1::domain_service_server::DomainService;
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use super::target::target;
use crate::app::{App, DomainChange};
use crate::convert;
use crate::domain::hostname;

#[derive(Debug)]
pub(crate) struct Domains {
    app: App,
}

impl Domains {
    pub(crate) const fn new(app: App) -> Self {
        Self { app }
    }

    /// The tenant that a request acts on, for who may read its domains.
    async fn read(&self, ctx: &RequestContext, named: &str) -> Result<TenantId, Refusal> {
        let tenant = target(&self.app, ctx, named).await?;
        ctx.require(Permission::DomainsRead)?;
        Ok(tenant)
    }

    /// The same, for who may change them.
    async fn managed(&self, ctx: &RequestContext, named: &str) -> Result<TenantId, Refusal> {
        let tenant = target(&self.app, ctx, named).await?;
        ctx.require(Permission::DomainsManage)?;
        Ok(tenant)
    }
}

#[tonic::async_trait]
impl DomainService for Domains {
    async fn create_domain(
        &self,
        request: Request<wire::CreateDomainRequest>,
    ) -> Result<Response<wire::Domain>, Status> {
        answer(async {
            let mut call = open(request)?;
            let tenant = self.managed(&call.ctx, &call.message.tenant).await?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let name = hostname::parse(&call.message.domain, self.app.base_domain())?;
            let change = DomainChange::new(&call.ctx, &key, tenant, &name);
            Ok::<_, Refusal>(convert::domain(self.app.create_domain(change).await?))
        })
        .await
    }

    async fn get_domain(
        &self,
        request: Request<wire::GetDomainRequest>,
    ) -> Result<Response<wire::Domain>, Status> {
        answer(async {
            let call = open(request)?;
            let tenant = self.read(&call.ctx, &call.message.tenant).await?;
            let name = hostname::named(&call.message.domain);
            let domain = self.app.domain(&call.ctx, tenant, &name).await?;
            Ok::<_, Refusal>(convert::domain(domain))
        })
        .await
    }

    async fn list_domains(
        &self,
        request: Request<wire::ListDomainsRequest>,
    ) -> Result<Response<wire::ListDomainsResponse>, Status> {
        answer(async {
            let call = open(request)?;
            let tenant = self.read(&call.ctx, &call.message.tenant).await?;
            let (tenant, custom) = self.app.domains(&call.ctx, tenant).await?;
            let own = convert::platform_domain(&tenant, self.app.base_domain());
            Ok::<_, Refusal>(wire::ListDomainsResponse {
                domains: own
                    .into_iter()
                    .chain(custom.into_iter().map(convert::domain))
                    .collect(),
            })
        })
        .await
    }

    async fn verify_domain(
        &self,
        request: Request<wire::VerifyDomainRequest>,
    ) -> Result<Response<wire::Domain>, Status> {
        answer(async {
            let mut call = open(request)?;
            let tenant = self.managed(&call.ctx, &call.message.tenant).await?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let name = hostname::named(&call.message.domain);
            let change = DomainChange::new(&call.ctx, &key, tenant, &name);
            Ok::<_, Refusal>(convert::domain(self.app.verify_domain(change).await?))
        })
        .await
    }

    async fn delete_domain(
        &self,
        request: Request<wire::DeleteDomainRequest>,
    ) -> Result<Response<wire::DeleteDomainResponse>, Status> {
        answer(async {
            let mut call = open(request)?;
            let tenant = self.managed(&call.ctx, &call.message.tenant).await?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let name = hostname::named(&call.message.domain);
            let change = DomainChange::new(&call.ctx, &key, tenant, &name);
            self.app.delete_domain(change).await?;
            Ok::<_, Refusal>(wire::DeleteDomainResponse {})
        })
        .await
    }
}

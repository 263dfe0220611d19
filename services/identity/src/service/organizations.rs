//! OrganizationService: people come to tenants of their own.

use std::sync::Arc;

use tenantry_core::{Refusal, TenantSelection};
use tenantry_proto::identity::v1::SignUpRequest;
use tenantry_proto::identity::v1::organization_service_server::OrganizationService;
use tenantry_proto::registry::v1::Tenant;
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use super::at_host::named_project;
use crate::app::App;
use crate::app::sessions::Own;
use crate::domain::sign_up::Asked;

/// The handlers.
#[derive(Clone, Debug)]
pub(crate) struct Organizations(pub(crate) Arc<App>);

#[tonic::async_trait]
impl OrganizationService for Organizations {
    async fn sign_up(&self, request: Request<SignUpRequest>) -> Result<Response<Tenant>, Status> {
        answer(async {
            let mut project = named_project(&request)?;
            let mut call = open(request)?;
            project.asked.clone_from(&call.ctx.project);
            // None is needed; but one that was named and isn't there is told as ever.
            if call.ctx.tenant == TenantSelection::NotFound {
                return Err(Refusal::tenant_not_found());
            }
            let own = Own::of(&call.ctx)?;
            // Another project is another request, whether the message names it or the host.
            call.message.project = project.meant_by(&call.message.project)?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let asked = parse(call.message);
            asked.check()?;
            Ok(self.0.sign_up(&call.ctx, own, key, asked).await?)
        })
        .await
    }
}

fn parse(message: SignUpRequest) -> Asked {
    Asked {
        name: message.name,
        slug: message.slug,
        project: message.project,
        email: message.email,
        billing_email: message.billing_email,
        contact_phone: message.contact_phone,
        timezone: message.timezone,
        locale: message.locale,
        region: message.region,
    }
}

//! Sign-up, asked for by identity.

use tenantry_proto::internal::registry::v1::CreateSignedUpTenantRequest;
use tenantry_proto::internal::registry::v1::sign_up_service_server::SignUpService;
use tenantry_proto::registry::v1::Tenant;
use tenantry_rpc::convert::tenant_id;
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::convert;

#[derive(Debug)]
pub(crate) struct SignUps {
    app: App,
}

impl SignUps {
    pub(crate) const fn new(app: App) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl SignUpService for SignUps {
    async fn create_signed_up_tenant(
        &self,
        request: Request<CreateSignedUpTenantRequest>,
    ) -> Result<Response<Tenant>, Status> {
        answer(async {
            let call = open(request)?;
            let id = tenant_id(&call.message.tenant_id)?;
            let new = convert::signed_up_tenant(call.message)?;
            new.check()?;
            Ok(convert::tenant(self.app.sign_up(&call.ctx, id, new).await?))
        })
        .await
    }
}

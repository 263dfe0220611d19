//! What Envoy asks about each request (ext_authz): whose it is, in which tenant, and whether it may pass. The answer is
//! one signed assertion, or a finished refusal.

mod answer;
mod assertions;
mod decide;
mod request;

use std::sync::Arc;

use tenantry_proto::envoy::service::auth::v3::authorization_server::Authorization;
use tenantry_proto::envoy::service::auth::v3::{CheckRequest, CheckResponse};
use tonic::{Request, Response, Status};

pub(crate) use assertions::Assertions;
pub(crate) use decide::Caller;
use request::Asked;

use crate::app::App;
use crate::error::Error;

/// Most look-ups of tenants at once that callers cause by names that the view doesn't have or they don't reach, and of one
/// caller: whoever names what isn't there waits for no more of registry than that.
pub(crate) const LOOK_UPS: usize = 1024;
pub(crate) const LOOK_UPS_OF_ONE: usize = LOOK_UPS / 32;

/// Answers Envoy.
#[derive(Clone, Debug)]
pub(crate) struct Authorizer {
    app: Arc<App>,
    assertions: Assertions,
}

impl Authorizer {
    pub(crate) const fn new(app: Arc<App>, assertions: Assertions) -> Self {
        Self { app, assertions }
    }

    async fn assertion(&self, asked: &Asked<'_>) -> Result<answer::Admitted, Error> {
        let decided = decide::decide(&self.app, asked).await?;
        let token = self.assertions.sign(&decided)?;
        Ok(answer::Admitted { decided, token })
    }
}

#[tonic::async_trait]
impl Authorization for Authorizer {
    async fn check(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        let attributes = request.into_inner().attributes.unwrap_or_default();
        let http = attributes.request.and_then(|request| request.http);
        let http = http.unwrap_or_default();
        let asked = Asked::read(&http);
        if asked.needs_nobody() {
            return Ok(Response::new(answer::public()));
        }
        Ok(Response::new(match self.assertion(&asked).await {
            Ok(admitted) => answer::admitted(admitted),
            Err(error) => answer::denied(error.into(), asked.is_grpc),
        }))
    }
}

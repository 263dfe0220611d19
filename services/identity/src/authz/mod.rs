//! What Envoy asks about each request (ext_authz): whose it is, in which tenant, and whether it may pass. The answer is
//! one signed assertion, or a finished refusal.

mod answer;
mod assertions;
mod caller;
mod choose;
mod decide;
mod home;
mod refused;
mod request;

use std::sync::Arc;

use tenantry_core::Refusal;
use tenantry_proto::envoy::service::auth::v3::authorization_server::Authorization;
use tenantry_proto::envoy::service::auth::v3::{CheckRequest, CheckResponse};
use tenantry_proto::methods;
use tenantry_rpc::keys::Trust;
use tenantry_rpc::watched::Watched;
use tonic::{Request, Response, Status};

pub(crate) use assertions::Assertions;
pub(crate) use caller::Caller;
use request::Asked;

use crate::app::App;

/// Most look-ups of tenants at once that callers cause by names that the view doesn't have or they don't reach, and of one
/// caller: whoever names what isn't there waits for no more of registry than that.
pub(crate) const LOOK_UPS: usize = 1024;
pub(crate) const LOOK_UPS_OF_ONE: usize = LOOK_UPS / 32;
/// Most attempts that are told at once before they are refused here, and those of one tenant: they need connections that sign-ins need
/// too, and a tenant that is stopped may have programs that don't notice.
pub(crate) const REFUSALS: usize = 8;
pub(crate) const REFUSALS_OF_ONE: usize = REFUSALS / 4;

/// Answers Envoy.
#[derive(Clone, Debug)]
pub(crate) struct Authorizer {
    app: Arc<App>,
    assertions: Assertions,
    trust: Watched<Trust>,
}

impl Authorizer {
    pub(crate) const fn new(app: Arc<App>, assertions: Assertions, trust: Watched<Trust>) -> Self {
        Self {
            app,
            assertions,
            trust,
        }
    }

    /// What lets a request pass that is someone's.
    async fn admit(&self, asked: &Asked<'_>) -> Result<answer::Admitted, Refusal> {
        let decided = match decide::decide(&self.app, asked).await {
            Ok(decided) => decided,
            Err(error) => {
                let refusal = error.into();
                refused::count(&self.app, asked, &refusal);
                return Err(refusal);
            }
        };
        if let Some(stop) = decided.stop {
            let refusal = Refusal::tenant_stopped(stop);
            refused::tell(&self.app, asked, &decided, &refusal).await?;
            return Err(refusal);
        }
        let token = self.assertions.sign(&decided)?;
        let metered = methods::is_metered(asked.method);
        Ok(answer::Admitted {
            decided,
            token,
            metered,
        })
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
        if !self.trust.get().knows_word(asked.word().as_bytes()) {
            tracing::warn!("a question that isn't the gateway's");
            return Err(Status::unauthenticated("only the gateway asks this"));
        }
        if asked.needs_nobody() {
            return Ok(Response::new(answer::public()));
        }
        Ok(Response::new(match self.admit(&asked).await {
            Ok(admitted) => answer::admitted(admitted),
            Err(refusal) => answer::denied(refusal, asked.is_grpc),
        }))
    }
}

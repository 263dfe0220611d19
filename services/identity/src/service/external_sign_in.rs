//! ExternalSignInService: signing in at an OpenID provider.

use std::sync::Arc;

use tenantry_core::refusal::Violations;
use tenantry_core::{Refusal, TenantRef};
use tenantry_proto::identity::v1::external_sign_in_service_server::ExternalSignInService;
use tenantry_proto::identity::v1::{
    ExternalSignIn, FinishExternalSignInRequest, StartExternalSignInRequest, TokenPair,
};
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use super::at_host::named_project;
use crate::app::App;
use crate::app::external_sign_in::Start;
use crate::convert;
use crate::domain::external_sign_in::Handed;
use crate::domain::host::NamedProject;
use crate::domain::identity_provider;
use crate::oidc::Returned;

/// Longest code and `iss` that a provider sends back.
const MAX_CODE_BYTES: usize = 8_192;
const MAX_ISS_BYTES: usize = 1_000;

/// The handlers.
#[derive(Clone, Debug)]
pub(crate) struct ExternalSignIns(pub(crate) Arc<App>);

#[tonic::async_trait]
impl ExternalSignInService for ExternalSignIns {
    async fn start_external_sign_in(
        &self,
        request: Request<StartExternalSignInRequest>,
    ) -> Result<Response<ExternalSignIn>, Status> {
        answer(async {
            let project = named_project(&request)?;
            let call = open(request)?;
            let start = parse_start(call.message, &project)?;
            let begun = self.0.start_external_sign_in(&call.ctx, start).await?;
            Ok(convert::external_sign_in(begun))
        })
        .await
    }

    async fn finish_external_sign_in(
        &self,
        request: Request<FinishExternalSignInRequest>,
    ) -> Result<Response<TokenPair>, Status> {
        answer(async {
            let call = open(request)?;
            let message = call.message;
            let handed = parse_finish(&message)?;
            let returned = Returned {
                code: &message.code,
                iss: &message.iss,
            };
            let pair = self
                .0
                .finish_external_sign_in(&call.ctx, &handed, returned)
                .await?;
            Ok(convert::pair(pair))
        })
        .await
    }
}

fn parse_start(
    message: StartExternalSignInRequest,
    project: &NamedProject,
) -> Result<Start, Refusal> {
    let project = project.meant_by(&message.project)?;
    let mut wrong = Violations::new();
    if !message.project.is_empty() {
        wrong.take("project", identity_provider::project(&message.project));
    }
    let provider = wrong.take(
        "provider",
        message
            .provider
            .parse()
            .map_err(|_| "must be the id of an identity provider: a UUID"),
    );
    if message.redirect_uri.is_empty() {
        wrong.add("redirect_uri", "is missing: the page to come back to");
    }
    let tenant = TenantRef::parse(&message.tenant);
    match provider {
        Some(provider) => wrong.check().map(|()| Start {
            tenant,
            project,
            provider,
            redirect_uri: message.redirect_uri,
        }),
        None => Err(wrong.check().err().unwrap_or_else(Refusal::internal)),
    }
}

fn parse_finish(message: &FinishExternalSignInRequest) -> Result<Handed, Refusal> {
    let mut wrong = Violations::new();
    if message.code.is_empty() || message.code.len() > MAX_CODE_BYTES {
        wrong.add("code", "must be what the provider sent back as code");
    }
    if message.iss.len() > MAX_ISS_BYTES {
        wrong.add("iss", "must be what the provider sent back as iss");
    }
    let handed = Handed::parse(&message.state, &message.holder_secret)
        .ok_or("must be what the beginning gave: state as it came back, and its holder_secret");
    let handed = wrong.take("state", handed);
    wrong.check()?;
    handed.ok_or_else(Refusal::internal)
}

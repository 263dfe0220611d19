//! AuthService: signing in and out.

use std::sync::Arc;

use tenantry_core::refusal::Violations;
use tenantry_core::{Refusal, TenantRef};
use tenantry_proto::identity::v1::auth_service_server::AuthService;
use tenantry_proto::identity::v1::{
    Caller, GetCallerRequest, GetJwksRequest, Jwks, LoginRequest, LogoutRequest, LogoutResponse,
    RefreshRequest, TokenPair,
};
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use super::at_host::named_project;
use crate::app::App;
use crate::app::sign_in::Login;
use crate::convert;
use crate::domain::host::NamedProject;
use crate::domain::{field, password};

/// The handlers.
#[derive(Clone, Debug)]
pub(crate) struct Auth(pub(crate) Arc<App>);

#[tonic::async_trait]
impl AuthService for Auth {
    async fn login(&self, request: Request<LoginRequest>) -> Result<Response<TokenPair>, Status> {
        answer(async {
            let project = named_project(&request)?;
            let call = open(request)?;
            let login = parse_login(call.message, &project)?;
            Ok(convert::pair(self.0.login(&call.ctx, login).await?))
        })
        .await
    }

    async fn refresh(
        &self,
        request: Request<RefreshRequest>,
    ) -> Result<Response<TokenPair>, Status> {
        answer(async {
            let call = open(request)?;
            let pair = self
                .0
                .refresh(&call.ctx, &call.message.refresh_token)
                .await?;
            Ok(convert::pair(pair))
        })
        .await
    }

    async fn logout(
        &self,
        request: Request<LogoutRequest>,
    ) -> Result<Response<LogoutResponse>, Status> {
        answer(async {
            self.0.logout(&open(request)?.ctx).await?;
            Ok(LogoutResponse {})
        })
        .await
    }

    async fn get_caller(
        &self,
        request: Request<GetCallerRequest>,
    ) -> Result<Response<Caller>, Status> {
        answer(async {
            let call = open(request)?;
            let caller = self.0.caller(&call.ctx).await?;
            Ok(convert::caller(&call.ctx, caller))
        })
        .await
    }

    async fn get_jwks(&self, _request: Request<GetJwksRequest>) -> Result<Response<Jwks>, Status> {
        let ring = self.0.tokens.ring();
        Ok(Response::new(Jwks {
            keys: ring.public().iter().map(convert::jwk).collect(),
        }))
    }
}

fn parse_login(message: LoginRequest, project: &NamedProject) -> Result<Login, Refusal> {
    let project = project.meant_by(&message.project)?;
    let mut wrong = Violations::new();
    let email = wrong.take("email", field::email(&message.email));
    if message.password.is_empty() {
        wrong.add("password", "is missing");
    } else if !password::could_be(&message.password) {
        wrong.add("password", "is longer than any password");
    }
    wrong.check()?;
    Ok(Login {
        email: email.unwrap_or_default(),
        password: message.password.into(),
        tenant: TenantRef::parse(&message.tenant),
        project,
    })
}

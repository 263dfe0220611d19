//! PasswordService: people replace their own passwords.

use std::sync::Arc;

use tenantry_core::Refusal;
use tenantry_core::refusal::Violations;
use tenantry_proto::identity::v1::password_service_server::PasswordService;
use tenantry_proto::identity::v1::{
    ChangePasswordRequest, ChangePasswordResponse, RequestPasswordResetRequest,
    RequestPasswordResetResponse, ResetPasswordRequest, ResetPasswordResponse,
};
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::app::passwords::Change;
use crate::app::sessions::Own;
use crate::domain::{field, password};

/// The handlers.
#[derive(Clone, Debug)]
pub(crate) struct Passwords(pub(crate) Arc<App>);

#[tonic::async_trait]
impl PasswordService for Passwords {
    async fn change_password(
        &self,
        request: Request<ChangePasswordRequest>,
    ) -> Result<Response<ChangePasswordResponse>, Status> {
        answer(async {
            let mut call = open(request)?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let own = Own::of(&call.ctx)?;
            let change = parse_change(call.message)?;
            self.0.change_password(&call.ctx, key, own, change).await?;
            Ok(ChangePasswordResponse {})
        })
        .await
    }

    async fn request_password_reset(
        &self,
        request: Request<RequestPasswordResetRequest>,
    ) -> Result<Response<RequestPasswordResetResponse>, Status> {
        answer(async {
            let call = open(request)?;
            let email = field::email(&call.message.email);
            let email = email.map_err(|why| Refusal::field("email", why))?;
            self.0.ask_link(&call.ctx, email)?;
            Ok(RequestPasswordResetResponse {})
        })
        .await
    }

    async fn reset_password(
        &self,
        request: Request<ResetPasswordRequest>,
    ) -> Result<Response<ResetPasswordResponse>, Status> {
        answer(async {
            let mut call = open(request)?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let message = call.message;
            let mut wrong = Violations::new();
            if message.token.is_empty() {
                wrong.add("token", "is missing; it stands at the end of the link");
            }
            wrong.take("new_password", password::length(&message.new_password));
            wrong.check()?;
            let new = message.new_password.into();
            self.0
                .reset_password(&call.ctx, key, &message.token, &new)
                .await?;
            Ok(ResetPasswordResponse {})
        })
        .await
    }
}

fn parse_change(message: ChangePasswordRequest) -> Result<Change, Refusal> {
    let mut wrong = Violations::new();
    wrong.take("current_password", present(&message.current_password));
    wrong.take("new_password", password::length(&message.new_password));
    wrong.check()?;
    Ok(Change {
        current: message.current_password.into(),
        new: message.new_password.into(),
    })
}

fn present(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        Err("is missing")
    } else if password::could_be(text) {
        Ok(())
    } else {
        Err("is longer than any password")
    }
}

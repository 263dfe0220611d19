//! SessionService: where the caller is signed in.

use std::sync::Arc;

use tenantry_core::page::{self, PageTokens};
use tenantry_proto::identity::v1::session_service_server::SessionService;
use tenantry_proto::identity::v1::{
    ListSessionsRequest, ListSessionsResponse, RevokeSessionRequest, RevokeSessionResponse,
    RevokeSessionsRequest, RevokeSessionsResponse,
};
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use super::id;
use crate::app::App;
use crate::app::sessions::Own;
use crate::convert;

/// The handlers.
#[derive(Clone, Debug)]
pub(crate) struct Sessions(pub(crate) Arc<App>);

#[tonic::async_trait]
impl SessionService for Sessions {
    async fn list_sessions(
        &self,
        request: Request<ListSessionsRequest>,
    ) -> Result<Response<ListSessionsResponse>, Status> {
        answer(async {
            let call = open(request)?;
            let own = Own::of(&call.ctx)?;
            let whose = own.user.to_string();
            let tokens = PageTokens::new(self.0.store.sealer(), &call.ctx.method, &[&whose]);
            let size = page::size(call.message.page_size)?;
            let page = self
                .0
                .list_sessions(own, &tokens, size, &call.message.page_token)
                .await?;
            Ok(ListSessionsResponse {
                sessions: page
                    .items
                    .into_iter()
                    .map(|session| convert::session(session, own.session))
                    .collect(),
                next_page_token: page.next_page_token,
            })
        })
        .await
    }

    async fn revoke_session(
        &self,
        request: Request<RevokeSessionRequest>,
    ) -> Result<Response<RevokeSessionResponse>, Status> {
        answer(async {
            let mut call = open(request)?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let own = Own::of(&call.ctx)?;
            let session = id("session", &call.message.session)?;
            self.0.revoke_session(&call.ctx, key, own, session).await?;
            Ok(RevokeSessionResponse {})
        })
        .await
    }

    async fn revoke_sessions(
        &self,
        request: Request<RevokeSessionsRequest>,
    ) -> Result<Response<RevokeSessionsResponse>, Status> {
        answer(async {
            let mut call = open(request)?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let own = Own::of(&call.ctx)?;
            let include_current = call.message.include_current;
            let revoked = self
                .0
                .revoke_sessions(&call.ctx, key, own, include_current)
                .await?;
            Ok(RevokeSessionsResponse { revoked })
        })
        .await
    }
}

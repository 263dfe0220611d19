//! InvitationService: asking people to join a tenant.

use std::sync::Arc;

use tenantry_core::page::{self, PageTokens};
use tenantry_core::refusal::Violations;
use tenantry_core::{Permission, Refusal};
use tenantry_proto::identity::v1::invitation_service_server::InvitationService;
use tenantry_proto::identity::v1::{
    AcceptInvitationRequest, GetInvitationOfferRequest, GetInvitationRequest, Invitation,
    InvitationOffer, InviteMemberRequest, ListInvitationsRequest, ListInvitationsResponse, Member,
    ResendInvitationRequest, RevokeInvitationRequest,
};
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use super::{id, password};
use crate::app::App;
use crate::app::accept::Acceptance;
use crate::app::invitations::{Listed, NewInvitation};
use crate::convert;
use crate::domain::{field, invitation, role};

/// The handlers.
#[derive(Clone, Debug)]
pub(crate) struct Invitations(pub(crate) Arc<App>);

#[tonic::async_trait]
impl InvitationService for Invitations {
    async fn invite_member(
        &self,
        request: Request<InviteMemberRequest>,
    ) -> Result<Response<Invitation>, Status> {
        answer(async {
            let mut call = open(request)?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let tenant = self
                .0
                .authorise(&call.ctx, &call.message.tenant, Permission::MembersManage)
                .await?;
            let new = parse_new(&call.message)?;
            let made = self.0.invite(&call.ctx, key, &tenant, new).await?;
            Ok(convert::invitation(made))
        })
        .await
    }

    async fn list_invitations(
        &self,
        request: Request<ListInvitationsRequest>,
    ) -> Result<Response<ListInvitationsResponse>, Status> {
        answer(async {
            let call = open(request)?;
            let message = call.message;
            let tenant = self
                .0
                .authorise(&call.ctx, &message.tenant, Permission::MembersRead)
                .await?;
            let listed = listed(&message.status)?;
            let scope = tenant.id.to_string();
            let parameters = [scope.as_str(), &message.status];
            let tokens = PageTokens::new(self.0.store.sealer(), &call.ctx.method, &parameters);
            let size = page::size(message.page_size)?;
            let page = self
                .0
                .list_invitations(&tokens, &tenant, listed, size, &message.page_token)
                .await?;
            Ok(ListInvitationsResponse {
                invitations: page.items.into_iter().map(convert::invitation).collect(),
                next_page_token: page.next_page_token,
            })
        })
        .await
    }

    async fn get_invitation(
        &self,
        request: Request<GetInvitationRequest>,
    ) -> Result<Response<Invitation>, Status> {
        answer(async {
            let call = open(request)?;
            let message = call.message;
            let tenant = self
                .0
                .authorise(&call.ctx, &message.tenant, Permission::MembersRead)
                .await?;
            let id = id("invitation", &message.invitation)?;
            Ok(convert::invitation(self.0.invitation(&tenant, id).await?))
        })
        .await
    }

    async fn resend_invitation(
        &self,
        request: Request<ResendInvitationRequest>,
    ) -> Result<Response<Invitation>, Status> {
        answer(async {
            let mut call = open(request)?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let message = call.message;
            let tenant = self
                .0
                .authorise(&call.ctx, &message.tenant, Permission::MembersManage)
                .await?;
            let id = id("invitation", &message.invitation)?;
            let days = invitation::days(message.expires_in_days)
                .map_err(|why| Refusal::field("expires_in_days", why))?;
            let sent = self
                .0
                .resend_invitation(&call.ctx, key, &tenant, id, days)
                .await?;
            Ok(convert::invitation(sent))
        })
        .await
    }

    async fn revoke_invitation(
        &self,
        request: Request<RevokeInvitationRequest>,
    ) -> Result<Response<Invitation>, Status> {
        answer(async {
            let mut call = open(request)?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let message = call.message;
            let tenant = self
                .0
                .authorise(&call.ctx, &message.tenant, Permission::MembersManage)
                .await?;
            let id = id("invitation", &message.invitation)?;
            let revoked = self
                .0
                .revoke_invitation(&call.ctx, key, &tenant, id)
                .await?;
            Ok(convert::invitation(revoked))
        })
        .await
    }

    async fn get_invitation_offer(
        &self,
        request: Request<GetInvitationOfferRequest>,
    ) -> Result<Response<InvitationOffer>, Status> {
        answer(async {
            let call = open(request)?;
            let token = call.message.token.into();
            let offer = self.0.invitation_offer(&call.ctx, &token).await?;
            Ok(convert::offer(offer))
        })
        .await
    }

    async fn accept_invitation(
        &self,
        request: Request<AcceptInvitationRequest>,
    ) -> Result<Response<Member>, Status> {
        answer(async {
            let mut call = open(request)?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let acceptance = parse_acceptance(call.message)?;
            let member = self.0.accept_invitation(&call.ctx, key, acceptance).await?;
            Ok(convert::member(member))
        })
        .await
    }
}

fn parse_new(message: &InviteMemberRequest) -> Result<NewInvitation, Refusal> {
    let mut wrong = Violations::new();
    let email = wrong.take("email", field::email(&message.email));
    let roles = wrong.take("roles", role::keys(&message.roles));
    let days = wrong.take("expires_in_days", invitation::days(message.expires_in_days));
    wrong.check()?;
    Ok(NewInvitation {
        email: email.unwrap_or_default(),
        roles: roles.unwrap_or_default(),
        days: days.unwrap_or(invitation::DEFAULT_DAYS),
    })
}

fn parse_acceptance(message: AcceptInvitationRequest) -> Result<Acceptance, Refusal> {
    let mut wrong = Violations::new();
    let name = if message.name.is_empty() {
        None
    } else {
        wrong.take("name", field::name(&message.name))
    };
    let password = password(&mut wrong, message.password);
    wrong.check()?;
    Ok(Acceptance {
        token: message.token.into(),
        name,
        password,
    })
}

fn listed(word: &str) -> Result<Listed, Refusal> {
    match word {
        "" | "pending" => Ok(Listed::Pending),
        "all" => Ok(Listed::All),
        _ => Err(Refusal::field("status", "must be pending or all")),
    }
}

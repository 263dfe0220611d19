//! MemberService: who belongs to a tenant.

use std::sync::Arc;

use tenantry_core::page::{self, PageTokens};
use tenantry_core::refusal::Violations;
use tenantry_core::{Permission, Refusal};
use tenantry_proto::identity::v1::member_service_server::MemberService;
use tenantry_proto::identity::v1::{
    AddMemberRequest, CreateMemberRequest, ListMembersRequest, ListMembersResponse, Member,
    RemoveMemberRequest, RemoveMemberResponse,
};
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use super::{id, password};
use crate::app::App;
use crate::app::members::NewMember;
use crate::convert;
use crate::domain::{field, role};

/// The handlers.
#[derive(Clone, Debug)]
pub(crate) struct Members(pub(crate) Arc<App>);

#[tonic::async_trait]
impl MemberService for Members {
    async fn create_member(
        &self,
        request: Request<CreateMemberRequest>,
    ) -> Result<Response<Member>, Status> {
        answer(async {
            let mut call = open(request)?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let tenant = self
                .0
                .authorise(&call.ctx, &call.message.tenant, Permission::MembersManage)
                .await?;
            let new = parse_new(call.message)?;
            let member = self.0.create_member(&call.ctx, key, &tenant, new).await?;
            Ok(convert::member(member))
        })
        .await
    }

    async fn list_members(
        &self,
        request: Request<ListMembersRequest>,
    ) -> Result<Response<ListMembersResponse>, Status> {
        answer(async {
            let call = open(request)?;
            let message = call.message;
            let tenant = self
                .0
                .authorise(&call.ctx, &message.tenant, Permission::MembersRead)
                .await?;
            let scope = tenant.id.to_string();
            let tokens = PageTokens::new(self.0.store.sealer(), &call.ctx.method, &[&scope]);
            let size = page::size(message.page_size)?;
            let page = self
                .0
                .list_members(&tokens, &tenant, size, &message.page_token)
                .await?;
            Ok(ListMembersResponse {
                users: page.items.into_iter().map(convert::member).collect(),
                next_page_token: page.next_page_token,
            })
        })
        .await
    }

    async fn add_member(
        &self,
        request: Request<AddMemberRequest>,
    ) -> Result<Response<Member>, Status> {
        answer(async {
            let mut call = open(request)?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let message = call.message;
            let tenant = self
                .0
                .authorise(&call.ctx, &message.tenant, Permission::MembersManage)
                .await?;
            let user = id("user", &message.user)?;
            let roles = role::keys(&message.roles).map_err(|why| Refusal::field("roles", why))?;
            let member = self
                .0
                .add_member(&call.ctx, key, &tenant, user, roles)
                .await?;
            Ok(convert::member(member))
        })
        .await
    }

    async fn remove_member(
        &self,
        request: Request<RemoveMemberRequest>,
    ) -> Result<Response<RemoveMemberResponse>, Status> {
        answer(async {
            let mut call = open(request)?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let message = call.message;
            let tenant = self
                .0
                .authorise(&call.ctx, &message.tenant, Permission::MembersManage)
                .await?;
            let user = id("user", &message.user)?;
            self.0.remove_member(&call.ctx, key, &tenant, user).await?;
            Ok(RemoveMemberResponse {})
        })
        .await
    }
}

fn parse_new(message: CreateMemberRequest) -> Result<NewMember, Refusal> {
    let mut wrong = Violations::new();
    let email = wrong.take("email", field::email(&message.email));
    let email = email.unwrap_or_default();
    let name = wrong.take("name", field::person(&message.name, &email));
    let roles = wrong.take("roles", role::keys(&message.roles));
    let password = password(&mut wrong, message.password);
    wrong.check()?;
    Ok(NewMember {
        email,
        name: name.unwrap_or_default(),
        password,
        roles: roles.unwrap_or_default(),
    })
}

//! MemberRoleService: which roles a member has.

use std::sync::Arc;

use tenantry_core::Permission;
use tenantry_proto::identity::v1::member_role_service_server::MemberRoleService;
use tenantry_proto::identity::v1::{
    AddMemberRoleRequest, ListMemberRolesRequest, ListMemberRolesResponse, Member,
    RemoveMemberRoleRequest,
};
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use super::id;
use super::roles::key;
use crate::app::App;
use crate::convert;

/// The handlers.
#[derive(Clone, Debug)]
pub(crate) struct MemberRoles(pub(crate) Arc<App>);

#[tonic::async_trait]
impl MemberRoleService for MemberRoles {
    async fn list_member_roles(
        &self,
        request: Request<ListMemberRolesRequest>,
    ) -> Result<Response<ListMemberRolesResponse>, Status> {
        answer(async {
            let call = open(request)?;
            let message = call.message;
            let tenant = self
                .0
                .authorise(&call.ctx, &message.tenant, Permission::MembersRead)
                .await?;
            let user = id("user", &message.user)?;
            let roles = self.0.list_member_roles(&tenant, user).await?;
            Ok(ListMemberRolesResponse {
                roles: roles.into_iter().map(convert::role).collect(),
            })
        })
        .await
    }

    async fn add_member_role(
        &self,
        request: Request<AddMemberRoleRequest>,
    ) -> Result<Response<Member>, Status> {
        answer(async {
            let mut call = open(request)?;
            let request_key = call.request_key(|message| &mut message.request_id)?;
            let message = call.message;
            let tenant = self
                .0
                .authorise(&call.ctx, &message.tenant, Permission::MembersManage)
                .await?;
            let user = id("user", &message.user)?;
            let role = key(&message.role)?;
            let member = self
                .0
                .add_member_role(&call.ctx, request_key, &tenant, user, role)
                .await?;
            Ok(convert::member(member))
        })
        .await
    }

    async fn remove_member_role(
        &self,
        request: Request<RemoveMemberRoleRequest>,
    ) -> Result<Response<Member>, Status> {
        answer(async {
            let mut call = open(request)?;
            let request_key = call.request_key(|message| &mut message.request_id)?;
            let message = call.message;
            let tenant = self
                .0
                .authorise(&call.ctx, &message.tenant, Permission::MembersManage)
                .await?;
            let user = id("user", &message.user)?;
            let role = key(&message.role)?;
            let member = self
                .0
                .remove_member_role(&call.ctx, request_key, &tenant, user, &role)
                .await?;
            Ok(convert::member(member))
        })
        .await
    }
}

//! RoleService: the roles of a tenant.

use std::sync::Arc;

use tenantry_core::page::{self, PageTokens};
use tenantry_core::refusal::Violations;
use tenantry_core::{Permission, Reason, Refusal};
use tenantry_proto::identity::v1::role_service_server::RoleService;
use tenantry_proto::identity::v1::{
    CreateRoleRequest, DeleteRoleRequest, DeleteRoleResponse, GetRoleRequest, ListRolesRequest,
    ListRolesResponse, Role, UpdateRoleRequest,
};
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::app::roles::NewRole;
use crate::convert;
use crate::domain::field;
use crate::domain::role::{self, Grants, Patch, RoleKey};

/// Fields that an update can name.
const FIELDS: &[&str] = &[
    "name",
    "description",
    "permissions",
    "inherited_permissions",
];

/// The handlers.
#[derive(Clone, Debug)]
pub(crate) struct Roles(pub(crate) Arc<App>);

#[tonic::async_trait]
impl RoleService for Roles {
    async fn create_role(
        &self,
        request: Request<CreateRoleRequest>,
    ) -> Result<Response<Role>, Status> {
        answer(async {
            let mut call = open(request)?;
            let request_key = call.request_key(|message| &mut message.request_id)?;
            let message = call.message;
            let tenant = self
                .0
                .authorise(&call.ctx, &message.tenant, Permission::RolesManage)
                .await?;
            let new = parse_new(&message)?;
            let made = self
                .0
                .create_role(&call.ctx, request_key, &tenant, new)
                .await?;
            Ok(convert::role(made))
        })
        .await
    }

    async fn get_role(&self, request: Request<GetRoleRequest>) -> Result<Response<Role>, Status> {
        answer(async {
            let call = open(request)?;
            let message = call.message;
            let tenant = self
                .0
                .authorise(&call.ctx, &message.tenant, Permission::RolesRead)
                .await?;
            let role = self.0.role(&tenant, &key(&message.role)?).await?;
            Ok(convert::role(role))
        })
        .await
    }

    async fn list_roles(
        &self,
        request: Request<ListRolesRequest>,
    ) -> Result<Response<ListRolesResponse>, Status> {
        answer(async {
            let call = open(request)?;
            let message = call.message;
            let tenant = self
                .0
                .authorise(&call.ctx, &message.tenant, Permission::RolesRead)
                .await?;
            let scope = tenant.id.to_string();
            let tokens = PageTokens::new(self.0.store.sealer(), &call.ctx.method, &[&scope]);
            let size = page::size(message.page_size)?;
            let page = self
                .0
                .list_roles(&tokens, &tenant, size, &message.page_token)
                .await?;
            Ok(ListRolesResponse {
                roles: page.items.into_iter().map(convert::role).collect(),
                next_page_token: page.next_page_token,
            })
        })
        .await
    }

    async fn update_role(
        &self,
        request: Request<UpdateRoleRequest>,
    ) -> Result<Response<Role>, Status> {
        answer(async {
            let mut call = open(request)?;
            let request_key = call.request_key(|message| &mut message.request_id)?;
            let message = call.message;
            let tenant = self
                .0
                .authorise(&call.ctx, &message.tenant, Permission::RolesManage)
                .await?;
            let key = key(&message.role)?;
            let etag = message.etag.clone();
            let patch = parse_patch(message)?;
            let changed = self
                .0
                .update_role(&call.ctx, request_key, &tenant, &key, &etag, patch)
                .await?;
            Ok(convert::role(changed))
        })
        .await
    }

    async fn delete_role(
        &self,
        request: Request<DeleteRoleRequest>,
    ) -> Result<Response<DeleteRoleResponse>, Status> {
        answer(async {
            let mut call = open(request)?;
            let request_key = call.request_key(|message| &mut message.request_id)?;
            let message = call.message;
            let tenant = self
                .0
                .authorise(&call.ctx, &message.tenant, Permission::RolesManage)
                .await?;
            let key = key(&message.role)?;
            self.0
                .delete_role(&call.ctx, request_key, &tenant, &key, &message.etag)
                .await?;
            Ok(DeleteRoleResponse {})
        })
        .await
    }
}

/// The key of a role in a path.
pub(super) fn key(text: &str) -> Result<RoleKey, Refusal> {
    RoleKey::parse(text).map_err(|why| Refusal::field("role", why))
}

fn parse_new(message: &CreateRoleRequest) -> Result<NewRole, Refusal> {
    let mut wrong = Violations::new();
    let key = wrong.take("key", RoleKey::parse(&message.key));
    let name = if message.name.is_empty() {
        Some(message.key.clone())
    } else {
        wrong.take("name", field::name(&message.name))
    };
    let description = wrong.take("description", field::description(&message.description));
    let permissions = wrong.take("permissions", role::permissions(&message.permissions));
    let inherited = role::inherited(&message.inherited_permissions);
    let inherited = wrong.take("inherited_permissions", inherited);
    wrong.check()?;
    Ok(NewRole {
        key: key.unwrap_or_default(),
        name: name.unwrap_or_default(),
        description: description.unwrap_or_default(),
        grants: Grants {
            permissions: permissions.unwrap_or_default(),
            inherited: inherited.unwrap_or_default(),
        },
    })
}

/// What an update asks for: with a mask the fields that it names, else those that the message carries.
fn parse_patch(message: UpdateRoleRequest) -> Result<Patch, Refusal> {
    let mask = message.update_mask.map(|mask| mask.paths);
    let mask = mask.filter(|paths| !paths.is_empty());
    let unknown = mask
        .iter()
        .flatten()
        .find(|path| !FIELDS.contains(&path.as_str()));
    if let Some(unknown) = unknown {
        return Err(Refusal::field(
            "update_mask",
            format!(
                "names {unknown:?}, which isn't a field that can be updated; these can: {}",
                FIELDS.join(", ")
            ),
        ));
    }
    let named = |path: &str, carried: bool| {
        mask.as_ref()
            .map_or(carried, |paths| paths.iter().any(|p| p == path))
    };
    let mut wrong = Violations::new();
    let mut patch = Patch::default();
    if named("name", message.name.is_some()) {
        let name = message.name.unwrap_or_default();
        patch.name = wrong.take("name", field::name(&name));
    }
    if named("description", message.description.is_some()) {
        let description = message.description.unwrap_or_default();
        patch.description = wrong.take("description", field::description(&description));
    }
    if named("permissions", !message.permissions.is_empty()) {
        patch.permissions = wrong.take("permissions", role::permissions(&message.permissions));
    }
    let inherited = &message.inherited_permissions;
    if named("inherited_permissions", !inherited.is_empty()) {
        patch.inherited = wrong.take("inherited_permissions", role::inherited(inherited));
    }
    wrong.check()?;
    if patch.is_empty() {
        return Err(Refusal::new(
            Reason::NothingToUpdate,
            "The update names no field of a role. Send the fields to change, as {\"name\": \"New name\"}; unknown fields are ignored.",
        ));
    }
    Ok(patch)
}

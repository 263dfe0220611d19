//! MemberService: who belongs to a tenant.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tenantry_core::page::{self, PageTokens};
use tenantry_core::refusal::Violations;
use tenantry_core::{Permission, PrincipalKind, Reason, Refusal, UserId};
use tenantry_proto::identity::v1::member_service_server::MemberService;
use tenantry_proto::identity::v1::{
    AddMemberRequest, CreateMemberRequest, GetMemberRequest, ListMembersRequest,
    ListMembersResponse, ListUserMembershipsRequest, ListUserMembershipsResponse, Member,
    RemoveMemberRequest, RemoveMemberResponse, RoleMapping, TransferMembersRequest,
    TransferMembersResponse, UpdateMemberRequest,
};
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use super::{id, password};
use crate::app::App;
use crate::app::members::NewMember;
use crate::convert;
use crate::domain::member::Patch;
use crate::domain::role::RoleKey;
use crate::domain::transfer::{MAX_MAPPINGS, MAX_USERS, Plan, Verdict};
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

    async fn get_member(
        &self,
        request: Request<GetMemberRequest>,
    ) -> Result<Response<Member>, Status> {
        answer(async {
            let call = open(request)?;
            let message = call.message;
            let tenant = self
                .0
                .authorise(&call.ctx, &message.tenant, Permission::MembersRead)
                .await?;
            let user = id("user", &message.user)?;
            Ok(convert::member(self.0.member(&tenant, user).await?))
        })
        .await
    }

    async fn update_member(
        &self,
        request: Request<UpdateMemberRequest>,
    ) -> Result<Response<Member>, Status> {
        answer(async {
            let mut call = open(request)?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let tenant = self
                .0
                .authorise(&call.ctx, &call.message.tenant, Permission::MembersManage)
                .await?;
            let user = id("user", &call.message.user)?;
            let patch = parse_patch(call.message)?;
            let member = self
                .0
                .update_member(&call.ctx, key, &tenant, user, patch)
                .await?;
            Ok(convert::member(member))
        })
        .await
    }

    async fn transfer_members(
        &self,
        request: Request<TransferMembersRequest>,
    ) -> Result<Response<TransferMembersResponse>, Status> {
        answer(async {
            let mut call = open(request)?;
            let key = call.request_key(|message| &mut message.request_id)?;
            let source = self
                .0
                .authorise(&call.ctx, &call.message.tenant, Permission::MembersManage)
                .await?;
            let target = self
                .0
                .transfer_target(&call.ctx, &source, &call.message.target_tenant)
                .await?;
            let dry_run = call.message.dry_run;
            let plan = parse_plan(&call.message)?;
            let outcomes = self
                .0
                .transfer_members(&call.ctx, key, &source, &target, &plan, dry_run)
                .await?;
            let moved = outcomes
                .iter()
                .filter(|outcome| matches!(outcome.verdict, Verdict::Moved { .. }));
            Ok(TransferMembersResponse {
                moved_count: i32::try_from(moved.count()).unwrap_or(i32::MAX),
                results: outcomes.into_iter().map(convert::transfer_result).collect(),
                dry_run,
            })
        })
        .await
    }

    async fn list_user_memberships(
        &self,
        request: Request<ListUserMembershipsRequest>,
    ) -> Result<Response<ListUserMembershipsResponse>, Status> {
        answer(async {
            let call = open(request)?;
            let message = call.message;
            let user: UserId = match (message.user.as_str(), call.ctx.principal.kind) {
                ("me", PrincipalKind::User) => call.ctx.principal.id.into(),
                (text, _) => id("user", text)?,
            };
            let scope = user.to_string();
            let tokens = PageTokens::new(self.0.store.sealer(), &call.ctx.method, &[&scope]);
            let size = page::size(message.page_size)?;
            let page = self
                .0
                .memberships_of(&call.ctx, &tokens, user, size, &message.page_token)
                .await?;
            let memberships = page.items.into_iter().map(convert::user_membership);
            Ok(ListUserMembershipsResponse {
                memberships: memberships.collect(),
                next_page_token: page.next_page_token,
            })
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

fn parse_patch(message: UpdateMemberRequest) -> Result<Patch, Refusal> {
    const PATHS: [&str; 2] = ["name", "username"];
    let mask = message.update_mask.map(|mask| mask.paths);
    let mask = mask.filter(|paths| !paths.is_empty());
    if let Some(unknown) = mask
        .iter()
        .flatten()
        .find(|path| !PATHS.contains(&path.as_str()))
    {
        return Err(Refusal::field(
            "update_mask",
            format!(
                "names {unknown:?}, which isn't a field that can be updated; name and username can"
            ),
        ));
    }
    let pick = |path: &str, carried: Option<String>| match &mask {
        None => carried,
        Some(paths) => paths
            .iter()
            .any(|named| named == path)
            .then(|| carried.unwrap_or_default()),
    };
    let mut wrong = Violations::new();
    let name = pick("name", message.name).map(|name| wrong.take("name", field::name(&name)));
    let username = pick("username", message.username).map(|name| {
        if name.is_empty() {
            None
        } else {
            wrong.take("username", field::username(&name))
        }
    });
    wrong.check()?;
    let patch = Patch {
        name: name.flatten(),
        username,
    };
    if patch == Patch::default() {
        return Err(Refusal::new(
            Reason::NothingToUpdate,
            "The update names no field of a member. Send the fields to change, as {\"name\": \"New name\"}; unknown fields are ignored.",
        ));
    }
    Ok(patch)
}

fn parse_plan(message: &TransferMembersRequest) -> Result<Plan, Refusal> {
    let mut wrong = Violations::new();
    if message.users.is_empty() || message.users.len() > MAX_USERS {
        wrong.add("users", format!("must be 1 to {MAX_USERS} ids"));
    }
    let mut users = Vec::new();
    let mut seen = BTreeSet::new();
    for text in message.users.iter().take(MAX_USERS) {
        let why = match text.parse::<UserId>() {
            Ok(user) if seen.insert(user) => {
                users.push(user);
                continue;
            }
            Ok(_) => format!("names {text} twice"),
            Err(_) => "must be ids: UUIDs, as in the list of members".to_owned(),
        };
        // One will do: there may be a thousand.
        wrong.add("users", why);
        break;
    }
    let role_map = wrong.take("role_map", role_map(&message.role_map));
    wrong.check()?;
    Ok(Plan {
        users,
        role_map: role_map.unwrap_or_default(),
        keep_in_source: message.keep_in_source,
    })
}

fn role_map(mappings: &[RoleMapping]) -> Result<BTreeMap<RoleKey, RoleKey>, String> {
    if mappings.len() > MAX_MAPPINGS {
        return Err(format!("must be at most {MAX_MAPPINGS}"));
    }
    let mut map = BTreeMap::new();
    for mapping in mappings {
        let (from, to) = (RoleKey::parse(&mapping.from)?, RoleKey::parse(&mapping.to)?);
        if map.insert(from, to).is_some() {
            return Err(format!("names {} twice", mapping.from));
        }
    }
    Ok(map)
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

//! PermissionService, for callers of the gateway and for the fleet's own services: who may do what.

use std::sync::Arc;

use tenantry_core::refusal::Violations;
use tenantry_core::{Permission, Refusal, RequestContext, TenantId};
use tenantry_proto::identity::v1::permission_service_server::PermissionService;
use tenantry_proto::identity::v1::{
    CheckPermissionsRequest, CheckPermissionsResponse, ListPermissionsRequest,
    ListPermissionsResponse, PermissionQuestion,
};
use tenantry_proto::internal::identity::v1 as internal;
use tenantry_proto::internal::identity::v1::permission_service_server::PermissionService as InternalPermissionService;
use tenantry_rpc::{answer, open};
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::app::permissions::{Question, Whom};
use crate::convert;
use crate::domain::field;

/// Most questions of one call.
const MAX_QUESTIONS: usize = 100;
/// What a question is refused with that names no kind that there is.
const KINDS: &str = "must be user, api_key or service_account";

/// The handlers.
#[derive(Clone, Debug)]
pub(crate) struct Permissions(pub(crate) Arc<App>);

#[tonic::async_trait]
impl PermissionService for Permissions {
    async fn list_permissions(
        &self,
        request: Request<ListPermissionsRequest>,
    ) -> Result<Response<ListPermissionsResponse>, Status> {
        answer(async {
            open(request)?;
            let all = Permission::ALL.iter().copied();
            Ok(ListPermissionsResponse {
                permissions: all.map(convert::permission).collect(),
            })
        })
        .await
    }

    async fn check_permissions(
        &self,
        request: Request<CheckPermissionsRequest>,
    ) -> Result<Response<CheckPermissionsResponse>, Status> {
        answer(async {
            let call = open(request)?;
            let (ctx, message) = (&call.ctx, call.message);
            let about_self = message.questions.iter().all(|asked| is_caller(ctx, asked));
            let tenant = if about_self {
                self.0.reached(ctx, &message.tenant).await?
            } else {
                self.0
                    .authorise(ctx, &message.tenant, Permission::MembersRead)
                    .await?
            };
            let asked: Vec<_> = message
                .questions
                .into_iter()
                .map(|asked| of_tenant(ctx, tenant.id, asked))
                .collect();
            let mut questions = parse(&asked)?;
            for (place, question) in questions.iter_mut().enumerate() {
                if matches!(question.whom, Whom::Session(_)) {
                    return Err(Refusal::field(kind_of(place), KINDS));
                }
                if question.whom.is_caller(ctx) {
                    question.whom = Whom::of_caller(ctx).unwrap_or(question.whom);
                }
            }
            let allowed = self.0.check_permissions(questions).await?;
            let answers = asked.into_iter().zip(allowed);
            Ok(CheckPermissionsResponse {
                answers: answers.map(convert::permission_answer).collect(),
            })
        })
        .await
    }
}

#[tonic::async_trait]
impl InternalPermissionService for Permissions {
    async fn check_permissions(
        &self,
        request: Request<internal::CheckPermissionsRequest>,
    ) -> Result<Response<internal::CheckPermissionsResponse>, Status> {
        answer(async {
            let questions = parse(&open(request)?.message.questions)?;
            let allowed = self.0.check_permissions(questions).await?;
            Ok(internal::CheckPermissionsResponse { allowed })
        })
        .await
    }
}

fn is_caller(ctx: &RequestContext, asked: &PermissionQuestion) -> bool {
    let named = (asked.principal_kind.as_str(), asked.principal_id.as_str());
    let caller = ctx.principal.id.to_string();
    named == ("", "") || named == (ctx.principal.kind.name(), caller.as_str())
}

/// The question with all that it leaves to the request: its tenant, and who is meant where nobody is named.
fn of_tenant(
    ctx: &RequestContext,
    tenant: TenantId,
    asked: PermissionQuestion,
) -> internal::PermissionQuestion {
    let nobody = asked.principal_kind.is_empty() && asked.principal_id.is_empty();
    let (principal_kind, principal_id) = if nobody {
        let principal = &ctx.principal;
        (principal.kind.name().to_owned(), principal.id.to_string())
    } else {
        (asked.principal_kind, asked.principal_id)
    };
    internal::PermissionQuestion {
        principal_kind,
        principal_id,
        tenant_id: tenant.to_string(),
        permission: asked.permission,
    }
}

/// The place of a question's principal_kind in a request.
fn kind_of(place: usize) -> String {
    format!("questions[{place}].principal_kind")
}

fn parse(asked: &[internal::PermissionQuestion]) -> Result<Vec<Question>, Refusal> {
    if !(1..=MAX_QUESTIONS).contains(&asked.len()) {
        return Err(Refusal::field(
            "questions",
            format!("must be 1 to {MAX_QUESTIONS}; ask the others in another call"),
        ));
    }
    let mut wrong = Violations::new();
    let questions = asked
        .iter()
        .enumerate()
        .filter_map(|(place, asked)| question(&mut wrong, place, asked))
        .collect();
    wrong.check()?;
    Ok(questions)
}

fn question(
    wrong: &mut Violations,
    place: usize,
    asked: &internal::PermissionQuestion,
) -> Option<Question> {
    let name = |field: &str| format!("questions[{place}].{field}");
    let id = &asked.principal_id;
    let whom = match Whom::read(&asked.principal_kind, id) {
        Some(whom) => wrong.take(&name("principal_id"), whom),
        None => {
            wrong.add(kind_of(place), KINDS);
            None
        }
    };
    let tenant = wrong.take(&name("tenant_id"), field::id(&asked.tenant_id));
    let permission = wrong.take(&name("permission"), field::permission(&asked.permission));
    Some(Question {
        whom: whom?,
        tenant: tenant?,
        permission: permission?,
    })
}

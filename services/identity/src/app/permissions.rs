//! Questions about permissions, answered as the gateway would decide about a request of that principal now.

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tenantry_core::{
    ApiKeyId, Permission, PrincipalKind, RequestContext, ServiceAccountId, SessionId, TenantId,
    UserId, clock,
};

use super::App;
use crate::domain::field;
use crate::domain::rights::{Reach, Realm};
use crate::error::Error;

/// Questions of one call that are looked up at once.
const AT_ONCE: usize = 8;

/// Whom a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    User(UserId),
    /// A user, as far as a session reaches.
    Session(SessionId),
    ApiKey(ApiKeyId),
    ServiceAccount(ServiceAccountId),
}

impl Whom {
    /// Who makes this request, by the credential that it is made with: that may reach less than its holder.
    pub(crate) fn of_caller(ctx: &RequestContext) -> Option<Self> {
        match ctx.principal.kind {
            PrincipalKind::User => ctx.credential.parse().ok().map(Self::Session),
            PrincipalKind::ApiKey | PrincipalKind::ServiceAccount => {
                ctx.credential.parse().ok().map(Self::ApiKey)
            }
            PrincipalKind::Service | PrincipalKind::Anonymous => None,
        }
    }

    /// Whether this is who makes this request.
    pub(crate) fn is_caller(self, ctx: &RequestContext) -> bool {
        let (kind, id) = match self {
            Self::User(id) => (PrincipalKind::User, id.uuid()),
            Self::ApiKey(id) => (PrincipalKind::ApiKey, id.uuid()),
            Self::ServiceAccount(id) => (PrincipalKind::ServiceAccount, id.uuid()),
            Self::Session(_) => return false,
        };
        (kind, id) == (ctx.principal.kind, ctx.principal.id)
    }

    /// Reads `user:<id>`, `api_key:<id>` or `service_account:<id>`, as rows name who made them.
    pub(crate) fn of_key(text: &str) -> Option<Self> {
        let (kind, id) = text.split_once(':')?;
        Self::read(kind, id)?.ok()
    }

    /// A principal by its kind, and `session` and its id; nothing where there is no such kind.
    pub(crate) fn read(kind: &str, id: &str) -> Option<Result<Self, &'static str>> {
        Some(match kind {
            "user" => field::id(id).map(Self::User),
            "session" => field::id(id).map(Self::Session),
            "api_key" => field::id(id).map(Self::ApiKey),
            "service_account" => field::id(id).map(Self::ServiceAccount),
            _ => return None,
        })
    }
}

/// Whether a principal may do something in a tenant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    pub(crate) whom: Whom,
    pub(crate) tenant: TenantId,
    pub(crate) permission: Permission,
}

impl App {
    /// The answers, in the order of the questions.
    pub(crate) async fn check_permissions(
        &self,
        questions: Vec<Question>,
    ) -> Result<Vec<bool>, Error> {
        stream::iter(questions)
            .map(|question| self.allows(question))
            .buffered(AT_ONCE)
            .try_collect()
            .await
    }

    async fn allows(&self, question: Question) -> Result<bool, Error> {
        let Some(realm) = self.realm(question.whom).await? else {
            return Ok(false);
        };
        let Some(entry) = self.tenants.get(question.tenant).await? else {
            return Ok(false);
        };
        Ok(match self.reach(&realm, &entry).await? {
            Reach::Admitted(rights) => rights.here.contains(question.permission),
            Reach::Stopped(_) | Reach::Absent => false,
        })
    }

    /// Where a principal may act; nowhere if there is none, or its credential is over.
    pub(super) async fn realm(&self, whom: Whom) -> Result<Option<Realm>, Error> {
        Ok(match whom {
            Whom::User(id) => {
                let standing = self.principals.user(id).await?;
                standing.map(|standing| Realm::of_user(&standing))
            }
            Whom::Session(id) => {
                let now = clock::now();
                let user = self.principals.signed_in(id).await?;
                user.filter(|user| user.check(now).is_ok())
                    .map(|user| Realm::of_user(&user.standing))
            }
            Whom::ApiKey(id) => {
                let now = clock::now();
                let key = self.principals.key(id).await?;
                key.filter(|key| key.check(now).is_ok())
                    .map(|key| Realm::of_key(&key))
            }
            Whom::ServiceAccount(id) => self.principals.account(id).await?.map(Realm::of_account),
        })
    }
}

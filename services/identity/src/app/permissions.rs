//! Questions about permissions, answered as the gateway would decide about a request of that principal now.

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tenantry_core::{ApiKeyId, Permission, ServiceAccountId, TenantId, UserId, clock};

use super::App;
use crate::domain::rights::{Reach, Realm};
use crate::error::Error;

/// Questions of one call that are looked up at once.
const AT_ONCE: usize = 8;

/// Whom a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    User(UserId),
    ApiKey(ApiKeyId),
    ServiceAccount(ServiceAccountId),
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

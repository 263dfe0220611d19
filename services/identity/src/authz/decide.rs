//! Whose a request is and which tenant it selects.

use tenantry_core::tenant::Stop;
use tenantry_core::{Principal, PrincipalKind, TenantId};
use uuid::Uuid;

use super::choose::{Choice, Chosen, choose, own_tenant_stopped};
use super::home::home;
use super::request::{Asked, Credential};
use crate::app::App;
use crate::domain::host::{NamedProject, TwoProjects};
use crate::domain::principal::{Key, SignedIn, Standing};
use crate::domain::rights::{Realm, Rights};
use crate::domain::selection::Named;
use crate::error::Error;

/// What the assertion will say.
#[derive(Clone, Debug)]
pub(super) struct Decided {
    pub(super) principal: Principal,
    /// Id of the session or key.
    pub(super) credential: Uuid,
    /// Its end, in seconds since 1970.
    pub(super) credential_exp: Option<i64>,
    pub(super) tenant: Chosen,
    /// Why nothing may be done in that tenant for now: then the request doesn't pass.
    pub(super) stop: Option<Stop>,
    /// The tenant that the principal is of.
    pub(super) home: Option<TenantId>,
    pub(super) rights: Rights,
    /// Project of slugs in the message, where no tenant is chosen and one was named.
    pub(super) project: String,
}

/// The holder of a verified credential, and the tenants that it may act in.
pub(super) struct Holder {
    pub(super) principal: Principal,
    credential: Uuid,
    credential_exp: Option<i64>,
    pub(super) realm: Realm,
    /// The tenant that the credential is for: it is meant where none is named, and slugs are those of its project.
    pub(super) is_for: Option<TenantId>,
}

/// Decides about one request.
pub(super) async fn decide(app: &App, asked: &Asked<'_>) -> Result<Decided, Error> {
    let mut holder = match asked.credential()? {
        Credential::AccessToken(token) => signed_in(app, token).await?,
        Credential::ApiKey(presented) => {
            let key = app.principals.shown(presented).await?;
            of_key(&*key.ok_or(Error::BadCredential)?)?
        }
    };
    if let Realm::One(own, _) = holder.realm
        && let Some(choice) = own_tenant_stopped(app, own).await?
    {
        return Ok(decided(app, holder, choice, String::new()).await);
    }
    if asked.is_public() {
        // Only who it is counts: not where else they are, nor what they may do there.
        let nowhere = Choice::none(Chosen::None, Rights::NONE);
        return Ok(decided(app, holder, nowhere, String::new()).await);
    }
    let host = app.host(asked.authority());
    let (named, project) = match NamedProject::of(&host, asked.project()) {
        Ok(project) => (asked.hints(&host).named(), project),
        Err(TwoProjects) => (Named::Conflict, NamedProject::default()),
    };
    let mut choice = choose(app, &holder, named.clone(), &project).await?;
    if is_missed(&choice.tenant, &holder)
        && let Some(now) = as_of_now(app, &holder).await?
    {
        holder = now;
        choice = choose(app, &holder, named, &project).await?;
    }
    if holder.principal.kind != PrincipalKind::User && choice.stop.is_none() {
        let owner = holder.is_for.unwrap_or(TenantId::PLATFORM);
        app.uses.count(owner, holder.credential.into());
    }
    let project = match choice.tenant {
        Chosen::None => project.asked,
        Chosen::Tenant(_) if asked.is_without_tenant() => project.asked,
        Chosen::Tenant(_) | Chosen::NotFound | Chosen::Conflict => String::new(),
    };
    Ok(decided(app, holder, choice, project).await)
}

async fn decided(app: &App, holder: Holder, choice: Choice, project: String) -> Decided {
    let chosen = match &choice.tenant {
        Chosen::Tenant(entry) => Some(entry),
        Chosen::None | Chosen::NotFound | Chosen::Conflict => None,
    };
    Decided {
        home: home(app, &holder.realm, holder.is_for, chosen).await,
        principal: holder.principal,
        credential: holder.credential,
        credential_exp: holder.credential_exp,
        tenant: choice.tenant,
        stop: choice.stop,
        rights: choice.rights,
        project,
    }
}

async fn signed_in(app: &App, token: &str) -> Result<Holder, Error> {
    let claims = app.tokens.verify(token)?;
    let user = app.principals.signed_in(claims.sid).await?;
    let user = user.ok_or(Error::Revoked)?;
    let only = only_tenant(app, &user.standing).await?;
    of_user(&user, only, claims.exp)
}

/// Whether a tenant that the holder has just come to may have been meant.
fn is_missed(tenant: &Chosen, holder: &Holder) -> bool {
    match (tenant, &holder.realm) {
        (Chosen::NotFound, Realm::Memberships(_)) => true,
        (Chosen::None, Realm::Memberships(standing)) => standing.memberships.is_empty(),
        _ => false,
    }
}

/// The same person as the database has them now, where that is more or less than what was remembered: whoever has just become
/// a member goes on at once, whichever replica is asked. Absent and foreign tenants cost this alike. Where the database
/// doesn't answer, what is remembered stays.
async fn as_of_now(app: &App, holder: &Holder) -> Result<Option<Holder>, Error> {
    let Realm::Memberships(standing) = &holder.realm else {
        return Ok(None);
    };
    let session = holder.credential.into();
    let Ok(Some(user)) = app.principals.signed_in_now(session).await else {
        return Ok(None);
    };
    if user.standing == *standing {
        return Ok(None);
    }
    let only = only_tenant(app, &user.standing).await?;
    let end = holder.credential_exp.unwrap_or_default();
    of_user(&user, only, end).map(Some)
}

/// The only tenant that a user is a member of, as far as the session reaches.
pub(super) async fn only_tenant(app: &App, standing: &Standing) -> Result<Option<TenantId>, Error> {
    let [only] = standing.memberships.as_slice() else {
        return Ok(None);
    };
    if standing.only_project.is_none() {
        return Ok(Some(only.tenant));
    }
    let entry = app.tenants.get(only.tenant).await?;
    Ok(entry
        .filter(|entry| standing.is_within(&entry.project))
        .map(|entry| entry.id))
}

pub(super) fn of_user(
    user: &SignedIn,
    only: Option<TenantId>,
    token_exp: i64,
) -> Result<Holder, Error> {
    user.check(tenantry_core::clock::now())?;
    let realm = Realm::of_user(&user.standing);
    Ok(Holder {
        principal: Principal {
            kind: PrincipalKind::User,
            id: user.user.uuid(),
            name: user.name.clone(),
        },
        credential: user.session.uuid(),
        credential_exp: Some(token_exp),
        is_for: match realm {
            // An operator acts where it says: no membership of its own binds it.
            Realm::All(_) => user.tenant,
            Realm::One(..) | Realm::Memberships(_) => user.tenant.or(only),
        },
        realm,
    })
}

pub(super) fn of_key(key: &Key) -> Result<Holder, Error> {
    key.check(tenantry_core::clock::now())?;
    Ok(Holder {
        principal: match key.service_account {
            Some(account) => program(PrincipalKind::ServiceAccount, account.uuid()),
            None => program(PrincipalKind::ApiKey, key.id.uuid()),
        },
        credential: key.id.uuid(),
        credential_exp: key.expires_at.map(|at| at.as_second()),
        is_for: (!key.tenant.is_platform()).then_some(key.tenant),
        realm: Realm::of_key(key),
    })
}

fn program(kind: PrincipalKind, id: Uuid) -> Principal {
    Principal {
        kind,
        id,
        name: String::new(),
    }
}

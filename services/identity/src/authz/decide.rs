//! Whose a request is and which tenant it selects.

use std::sync::Arc;

use tenantry_core::tenant::DEFAULT_PROJECT;
use tenantry_core::{Permissions, Principal, PrincipalKind, TenantId, TenantRef};
use tenantry_rpc::tenants::TenantEntry;
use uuid::Uuid;

use super::request::{Asked, Credential};
use crate::app::App;
use crate::domain::principal::{Key, SignedIn};
use crate::domain::rights::{self, Reach};
use crate::domain::secret;
use crate::domain::selection::{self, Named};
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
    pub(super) permissions: Permissions,
    /// Project of slugs in the message, where no tenant is chosen and one was named.
    pub(super) project: String,
}

/// The tenant, or why there is none.
#[derive(Clone, Debug)]
pub(super) enum Chosen {
    Tenant(TenantEntry),
    None,
    NotFound,
    Conflict,
}

/// The holder of a verified credential, and the tenants that it may act in.
struct Holder {
    principal: Principal,
    credential: Uuid,
    credential_exp: Option<i64>,
    set: Set,
    /// The tenant that the credential is for; slugs are those of its project.
    home: Option<TenantId>,
}

enum Set {
    /// All tenants, with these permissions.
    All(Permissions),
    /// One tenant, with these permissions.
    One(TenantId, Permissions),
    /// Where this user's memberships reach.
    Memberships(Arc<SignedIn>),
}

/// Decides about one request.
pub(super) async fn decide(
    app: &App,
    asked: &Asked<'_>,
    base_domain: &str,
) -> Result<Decided, Error> {
    let holder = match asked.credential()? {
        Credential::AccessToken(token) => signed_in(app, token).await?,
        Credential::ApiKey(id, hash) => {
            let key = app.principals.key(id).await?.ok_or(Error::BadCredential)?;
            of_key(&key, &hash)?
        }
    };
    if let Set::One(own, _) = holder.set {
        own_tenant_in_use(app, own).await?;
    }
    let named = asked.hints(base_domain).named();
    let (tenant, permissions) = choose(app, &holder, named, asked.project()).await?;
    let project = match tenant {
        Chosen::None => selection::project(asked.project())
            .unwrap_or_default()
            .to_owned(),
        Chosen::Tenant(_) | Chosen::NotFound | Chosen::Conflict => String::new(),
    };
    Ok(Decided {
        principal: holder.principal,
        credential: holder.credential,
        credential_exp: holder.credential_exp,
        tenant,
        permissions,
        project,
    })
}

async fn signed_in(app: &App, token: &str) -> Result<Holder, Error> {
    let claims = app.tokens.verify(token)?;
    let user = app.principals.signed_in(claims.sid).await?;
    let user = user.ok_or(Error::Revoked)?;
    of_user(user, claims.exp)
}

fn of_user(user: Arc<SignedIn>, token_exp: i64) -> Result<Holder, Error> {
    if user.ended || user.expires_at <= tenantry_core::clock::now() {
        return Err(Error::Revoked);
    }
    let platform = rights::of_operator(user.platform);
    let only = match user.memberships.as_slice() {
        [only] => Some(only.tenant),
        _ => None,
    };
    let set = if platform.is_empty() {
        Set::Memberships(Arc::clone(&user))
    } else {
        Set::All(platform)
    };
    Ok(Holder {
        principal: Principal {
            kind: PrincipalKind::User,
            id: user.user.uuid(),
            name: user.email.clone(),
        },
        credential: user.session.uuid(),
        credential_exp: Some(token_exp),
        home: match set {
            // An operator acts where it says: no membership of its own binds it.
            Set::All(_) => user.tenant,
            Set::One(..) | Set::Memberships(_) => user.tenant.or(only),
        },
        set,
    })
}

fn of_key(key: &Key, hash: &[u8; 32]) -> Result<Holder, Error> {
    if !secret::same(&key.hash, hash) {
        return Err(Error::BadCredential);
    }
    if key.revoked {
        return Err(Error::Revoked);
    }
    if key
        .expires_at
        .is_some_and(|at| at <= tenantry_core::clock::now())
    {
        return Err(Error::Expired);
    }
    let platform = key.tenant.is_platform();
    Ok(Holder {
        principal: Principal {
            kind: PrincipalKind::ApiKey,
            id: key.id.uuid(),
            name: String::new(),
        },
        credential: key.id.uuid(),
        credential_exp: key.expires_at.map(|at| at.as_second()),
        home: (!platform).then_some(key.tenant),
        set: if platform {
            Set::All(rights::of_operator(key.permissions))
        } else {
            Set::One(key.tenant, key.permissions.without(Permissions::PLATFORM))
        },
    })
}

/// A stopped tenant's keys stop at once, whatever they name.
async fn own_tenant_in_use(app: &App, own: TenantId) -> Result<(), Error> {
    use tenantry_core::tenant::Admission;
    let entry = app.tenants.get(own).await?;
    match entry.map(|entry| entry.status.admission()) {
        Some(Admission::Stopped(stop)) => Err(Error::Stopped(stop)),
        Some(Admission::Admitted | Admission::Kept | Admission::Absent) | None => Ok(()),
    }
}

async fn choose(
    app: &App,
    holder: &Holder,
    named: Named,
    project: &str,
) -> Result<(Chosen, Permissions), Error> {
    let nowhere = match holder.set {
        Set::All(permissions) => permissions,
        Set::One(..) | Set::Memberships(_) => Permissions::NONE,
    };
    let (name, slug) = match named {
        Named::Conflict => return Ok((Chosen::Conflict, nowhere)),
        Named::Nothing => match holder.home {
            Some(home) => (TenantRef::Id(home), None),
            None => return Ok((Chosen::None, nowhere)),
        },
        Named::One(name) => (name, None),
        Named::Both(id, slug) => (TenantRef::Id(id), Some(slug)),
    };
    let Ok(project) = selection::project(project) else {
        return Ok((Chosen::Conflict, nowhere));
    };
    let by_slug = matches!(name, TenantRef::Slug(_)) || slug.is_some();
    let project = if by_slug {
        project_of_slugs(app, holder, project).await?
    } else {
        String::new()
    };
    let Some((entry, reach)) = sought(app, holder, &project, &name).await? else {
        return Ok((Chosen::NotFound, nowhere));
    };
    // Only once the tenant of that id is known to be in reach: else the answer would tell of others.
    if slug.is_some_and(|slug| slug != entry.slug || project != *entry.project) {
        return Ok((Chosen::Conflict, nowhere));
    }
    match reach {
        Reach::Absent => Ok((Chosen::NotFound, nowhere)),
        Reach::Stopped(stop) => Err(Error::Stopped(stop)),
        Reach::Admitted(permissions) => Ok((Chosen::Tenant(entry), permissions)),
    }
}

/// The tenant of this name, where the holder reaches it. Where the view says that it doesn't, registry is asked: the tenant
/// may have just been made or moved. That one is out of reach and that there is none cost the same, so that time doesn't
/// tell them apart.
async fn sought(
    app: &App,
    holder: &Holder,
    project: &str,
    name: &TenantRef,
) -> Result<Option<(TenantEntry, Reach)>, Error> {
    if let Some(found) = reached(app, holder, app.tenants.known(project, name)).await? {
        return Ok(Some(found));
    }
    match app.tenants.ask(project, name).await {
        Ok(entry) => reached(app, holder, entry).await,
        // Within the grace what was in reach stays so. Of all else nobody can say whether it is there: absent and foreign
        // are unavailable alike.
        Err(refusal) => match reached(app, holder, app.tenants.remembered(project, name)).await? {
            Some(found) => Ok(Some(found)),
            None => Err(refusal.into()),
        },
    }
}

/// The tenant, if there is one and the holder reaches it.
async fn reached(
    app: &App,
    holder: &Holder,
    entry: Option<TenantEntry>,
) -> Result<Option<(TenantEntry, Reach)>, Error> {
    let Some(entry) = entry else { return Ok(None) };
    let reach = reach(app, holder, &entry).await?;
    Ok((reach != Reach::Absent).then_some((entry, reach)))
}

/// The project that slugs are looked up in: that of the credential's tenant, else the one asked for, else the default.
async fn project_of_slugs(app: &App, holder: &Holder, asked: &str) -> Result<String, Error> {
    if let Some(home) = holder.home
        && let Some(home) = app.tenants.get(home).await?
    {
        return Ok(home.project.to_string());
    }
    Ok(if asked.is_empty() {
        DEFAULT_PROJECT
    } else {
        asked
    }
    .to_owned())
}

async fn reach(app: &App, holder: &Holder, entry: &TenantEntry) -> Result<Reach, Error> {
    use tenantry_core::tenant::Admission;
    match &holder.set {
        Set::All(permissions) => Ok(Reach::Admitted(*permissions)),
        Set::One(own, permissions) => Ok(match entry.status.admission() {
            _ if *own != entry.id => Reach::Absent,
            Admission::Admitted => Reach::Admitted(*permissions),
            Admission::Stopped(stop) => Reach::Stopped(stop),
            Admission::Kept | Admission::Absent => Reach::Absent,
        }),
        Set::Memberships(user) => app.reach_of(&user.memberships, entry).await,
    }
}

//! Whose a request is and which tenant it selects.

use tenantry_core::tenant::project_or_default;
use tenantry_core::{Principal, PrincipalKind, RequestContext, TenantId, TenantRef};
use tenantry_rpc::tenants::TenantEntry;
use uuid::Uuid;

use super::request::{Asked, Credential};
use crate::app::App;
use crate::domain::host::{NamedProject, TwoProjects};
use crate::domain::principal::{Key, SignedIn, Standing};
use crate::domain::rights::{Reach, Realm, Rights};
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
    pub(super) rights: Rights,
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
    realm: Realm,
    /// The tenant that the credential is for; slugs are those of its project.
    home: Option<TenantId>,
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
    if let Realm::One(own, _) = holder.realm {
        own_tenant_in_use(app, own).await?;
    }
    if asked.is_public() {
        // Only who it is counts: not where else they are, nor what they may do there.
        return Ok(Decided {
            principal: holder.principal,
            credential: holder.credential,
            credential_exp: holder.credential_exp,
            tenant: Chosen::None,
            rights: Rights::NONE,
            project: String::new(),
        });
    }
    let host = app.host(asked.authority());
    let (named, project) = match NamedProject::of(&host, asked.project()) {
        Ok(project) => (asked.hints(&host).named(), project),
        Err(TwoProjects) => (Named::Conflict, NamedProject::default()),
    };
    let (mut tenant, mut rights) = choose(app, &holder, named.clone(), &project).await?;
    if is_missed(&tenant, &holder)
        && let Some(now) = as_of_now(app, &holder).await?
    {
        holder = now;
        (tenant, rights) = choose(app, &holder, named, &project).await?;
    }
    if holder.principal.kind != PrincipalKind::User {
        let owner = holder.home.unwrap_or(TenantId::PLATFORM);
        app.uses.count(owner, holder.credential.into());
    }
    let project = match tenant {
        Chosen::None => project.asked,
        Chosen::Tenant(_) if asked.is_without_tenant() => project.asked,
        Chosen::Tenant(_) | Chosen::NotFound | Chosen::Conflict => String::new(),
    };
    Ok(Decided {
        principal: holder.principal,
        credential: holder.credential,
        credential_exp: holder.credential_exp,
        tenant,
        rights,
        project,
    })
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
async fn only_tenant(app: &App, standing: &Standing) -> Result<Option<TenantId>, Error> {
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

fn of_user(user: &SignedIn, only: Option<TenantId>, token_exp: i64) -> Result<Holder, Error> {
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
        home: match realm {
            // An operator acts where it says: no membership of its own binds it.
            Realm::All(_) => user.tenant,
            Realm::One(..) | Realm::Memberships(_) => user.tenant.or(only),
        },
        realm,
    })
}

fn of_key(key: &Key) -> Result<Holder, Error> {
    key.check(tenantry_core::clock::now())?;
    Ok(Holder {
        principal: match key.service_account {
            Some(account) => program(PrincipalKind::ServiceAccount, account.uuid()),
            None => program(PrincipalKind::ApiKey, key.id.uuid()),
        },
        credential: key.id.uuid(),
        credential_exp: key.expires_at.map(|at| at.as_second()),
        home: (!key.tenant.is_platform()).then_some(key.tenant),
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

/// The caller of a request that the gateway let pass, to ask what it reaches in further tenants than the one that it
/// selected: by the same credential and the same rules.
pub(crate) struct Caller<'a> {
    app: &'a App,
    holder: Holder,
}

impl<'a> Caller<'a> {
    pub(crate) async fn of(app: &'a App, ctx: &RequestContext) -> Result<Self, Error> {
        let holder = match ctx.principal.kind {
            PrincipalKind::User => {
                let session = ctx.credential.parse().map_err(|_| Error::Revoked)?;
                // As they are now: whoever has just become a member sees it at once, at each replica.
                let user = app.principals.signed_in_now(session).await?;
                let user = user.ok_or(Error::Revoked)?;
                of_user(&user, only_tenant(app, &user.standing).await?, 0)?
            }
            PrincipalKind::ApiKey | PrincipalKind::ServiceAccount => {
                let id = ctx.credential.parse().map_err(|_| Error::Revoked)?;
                let key = app.principals.key(id).await?;
                of_key(&*key.ok_or(Error::Revoked)?)?
            }
            PrincipalKind::Service | PrincipalKind::Anonymous => return Err(Error::NoCredential),
        };
        Ok(Self { app, holder })
    }

    /// The tenant of this name, if it is in reach; absent and out of reach cost the same.
    pub(crate) async fn find(
        &self,
        project: &str,
        name: &TenantRef,
    ) -> Result<Option<(TenantEntry, Reach)>, Error> {
        sought(self.app, &self.holder, project, name).await
    }

    /// What it reaches in a tenant that is known.
    pub(crate) async fn reach(&self, tenant: &TenantEntry) -> Result<Reach, Error> {
        self.app.reach(&self.holder.realm, tenant).await
    }
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
    project: &NamedProject,
) -> Result<(Chosen, Rights), Error> {
    let nowhere = holder.realm.of_none();
    let (name, slug) = match named {
        Named::Conflict => return Ok((Chosen::Conflict, nowhere)),
        Named::Nothing => match holder.home {
            Some(home) => (TenantRef::Id(home), None),
            None => return Ok((Chosen::None, nowhere)),
        },
        Named::One(name) => (name, None),
        Named::Both(id, slug) => (TenantRef::Id(id), Some(slug)),
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
    if slug.is_some_and(|slug| *slug != *entry.slug || project != *entry.project) {
        return Ok((Chosen::Conflict, nowhere));
    }
    match reach {
        Reach::Absent => Ok((Chosen::NotFound, nowhere)),
        Reach::Stopped(stop) => Err(Error::Stopped(stop)),
        Reach::Admitted(rights) => Ok((Chosen::Tenant(entry), rights)),
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
    let place = app.look_ups.take(holder.principal.id);
    if let Err(full) = &place {
        // While registry is away everyone asks for what they reach, once for all of them: that is nobody's flood.
        let remembered = app.tenants.remembered(project, name);
        if reached(app, holder, remembered).await?.is_none() {
            let refusal = full.refusal("look-ups of tenants", "of yours");
            return Err(refusal.into());
        }
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
    let reach = app.reach(&holder.realm, &entry).await?;
    Ok((reach != Reach::Absent).then_some((entry, reach)))
}

/// The project that slugs are looked up in: that of the host, else that of the credential's tenant, else the one asked for,
/// else the default.
async fn project_of_slugs(
    app: &App,
    holder: &Holder,
    named: &NamedProject,
) -> Result<String, Error> {
    if let Some(host) = &named.host {
        return Ok(host.clone());
    }
    if let Some(home) = holder.home
        && let Some(home) = app.tenants.get(home).await?
    {
        return Ok(home.project.to_string());
    }
    Ok(project_or_default(&named.asked).to_owned())
}

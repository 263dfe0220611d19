//! Which of the tenants that its holder reaches a request selects.

use tenantry_core::tenant::{Admission, Stop, project_or_default};
use tenantry_core::{TenantId, TenantRef};
use tenantry_rpc::tenants::TenantEntry;

use super::decide::Holder;
use crate::app::App;
use crate::domain::host::NamedProject;
use crate::domain::rights::{Reach, Rights};
use crate::domain::selection::Named;
use crate::error::Error;

/// The tenant, or why there is none.
#[derive(Clone, Debug)]
pub(super) enum Chosen {
    Tenant(TenantEntry),
    None,
    NotFound,
    Conflict,
}

/// What a request selects, and what its holder may do there.
pub(super) struct Choice {
    pub(super) tenant: Chosen,
    pub(super) rights: Rights,
    /// Why nothing may be done there for now.
    pub(super) stop: Option<Stop>,
}

impl Choice {
    /// No tenant.
    pub(super) const fn none(why: Chosen, rights: Rights) -> Self {
        Self {
            tenant: why,
            rights,
            stop: None,
        }
    }

    /// A tenant in reach that can't be used for now.
    const fn stopped(tenant: TenantEntry, stop: Stop) -> Self {
        Self {
            tenant: Chosen::Tenant(tenant),
            rights: Rights::NONE,
            stop: Some(stop),
        }
    }
}

/// A stopped tenant's keys stop at once, whatever they name.
pub(super) async fn own_tenant_stopped(app: &App, own: TenantId) -> Result<Option<Choice>, Error> {
    let entry = app.tenants.get(own).await?;
    Ok(entry.and_then(|entry| match entry.status.admission() {
        Admission::Stopped(stop) => Some(Choice::stopped(entry, stop)),
        Admission::Admitted | Admission::Kept | Admission::Absent => None,
    }))
}

pub(super) async fn choose(
    app: &App,
    holder: &Holder,
    named: Named,
    project: &NamedProject,
) -> Result<Choice, Error> {
    let nowhere = |why| Choice::none(why, holder.realm.of_none());
    let (name, slug) = match named {
        Named::Conflict => return Ok(nowhere(Chosen::Conflict)),
        Named::Nothing => match holder.is_for {
            Some(meant) => (TenantRef::Id(meant), None),
            None => return Ok(nowhere(Chosen::None)),
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
        return Ok(nowhere(Chosen::NotFound));
    };
    // Only once the tenant of that id is known to be in reach: else the answer would tell of others.
    if slug.is_some_and(|slug| *slug != *entry.slug || project != *entry.project) {
        return Ok(nowhere(Chosen::Conflict));
    }
    Ok(match reach {
        Reach::Absent => nowhere(Chosen::NotFound),
        Reach::Stopped(stop) => Choice::stopped(entry, stop),
        Reach::Admitted(rights) => Choice {
            tenant: Chosen::Tenant(entry),
            rights,
            stop: None,
        },
    })
}

/// The tenant of this name, where the holder reaches it. Where the view says that it doesn't, registry is asked: the tenant
/// may have just been made or moved. That one is out of reach and that there is none cost the same, so that time doesn't
/// tell them apart.
pub(super) async fn sought(
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
    if let Some(own) = holder.is_for
        && let Some(own) = app.tenants.get(own).await?
    {
        return Ok(own.project.to_string());
    }
    Ok(project_or_default(&named.asked).to_owned())
}

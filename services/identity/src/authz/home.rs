//! Whose log a principal's attempts belong in: that of the tenant it is of, never of the one that it aims at.

use tenantry_core::{TenantId, TenantRef};
use tenantry_rpc::tenants::TenantEntry;

use crate::app::App;
use crate::domain::home::giver;
use crate::domain::principal::Standing;
use crate::domain::rights::Realm;

/// The tenant that the holder of a realm is of: a key's own; a user's that gives what it reaches in the chosen tenant, or,
/// where none is chosen, in the one that its session is for, else the first by id. None for operators, whose log is the
/// platform's, and for who is a member nowhere.
pub(super) async fn home(
    app: &App,
    realm: &Realm,
    session_for: Option<TenantId>,
    chosen: Option<&TenantEntry>,
) -> Option<TenantId> {
    let standing = match realm {
        Realm::All(_) => return None,
        Realm::One(own, _) => return Some(*own),
        Realm::Memberships(standing) => standing,
    };
    let entry = |id| app.tenants.remembered("", &TenantRef::Id(id));
    if let Some(tenant) = chosen
        && let Some(giver) = giver_in(app, standing, tenant).await
    {
        return Some(giver);
    }
    if let Some(tenant) = session_for.and_then(entry)
        && let Some(giver) = giver_in(app, standing, &tenant).await
    {
        return Some(giver);
    }
    let mut own: Vec<_> = standing.memberships.iter().map(|own| own.tenant).collect();
    own.sort_unstable();
    own.into_iter().find(|id| {
        standing.only_project.is_none()
            || entry(*id).is_some_and(|entry| standing.is_within(&entry.project))
    })
}

/// The tenant whose membership gives what the user reaches in this one.
async fn giver_in(app: &App, standing: &Standing, tenant: &TenantEntry) -> Option<TenantId> {
    if !standing.is_within(&tenant.project) {
        return None;
    }
    let memberships = &standing.memberships;
    if let Some(giver) = giver(memberships, tenant.id, &[]) {
        return Some(giver);
    }
    // Where they can't be had, another of its tenants is good enough: the request itself fails without them.
    let ancestors = app.ancestors(tenant).await.ok()?;
    giver(memberships, tenant.id, &ancestors)
}

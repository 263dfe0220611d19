//! The tenants in memory.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tenantry_core::refusal::Violations;
use tenantry_core::{LimitPolicy, TenantId, TenantRef};
use tenantry_proto::internal::registry::v1 as wire;
use tenantry_proto::registry::v1::{self as registry, Plan};

use super::{MAX_LEVELS, PlanLimit, RequestedLimit, TenantEntry};
use crate::limit_policy;

/// Age of a view that was never complete.
const NEVER: Duration = Duration::from_secs(365 * 86_400);

/// All tenants, by id and by slug.
#[derive(Debug, Default)]
pub struct View {
    tables: RwLock<Tables>,
    fresh: RwLock<Option<Instant>>,
}

#[derive(Debug, Default)]
struct Tables {
    by_id: HashMap<TenantId, TenantEntry>,
    by_slug: HashMap<Arc<str>, HashMap<Arc<str>, TenantId>>,
    by_domain: HashMap<String, TenantId>,
    /// What most tenants have.
    no_domains: Arc<[String]>,
    no_limits: Arc<[RequestedLimit]>,
    /// Projects and plans repeat a million times; their names are kept once.
    names: HashSet<Arc<str>>,
    /// Each version of each plan, by project, key and version.
    plans: HashMap<(Arc<str>, Arc<str>, i32), PlanEntry>,
    /// What the plans of each project bound.
    resource_types: HashMap<Arc<str>, HashSet<Arc<str>>>,
}

/// What is known of a version of a plan.
#[derive(Debug)]
struct PlanEntry {
    /// For how many days it keeps events.
    retention_days: i32,
    limits: Arc<[PlanLimit]>,
}

impl View {
    /// The tenant of this name.
    #[must_use]
    pub fn find(&self, project: &str, name: &TenantRef) -> Option<TenantEntry> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let id = match name {
            TenantRef::Id(id) => *id,
            TenantRef::Slug(slug) => *tables.by_slug.get(project)?.get(slug.as_str())?,
        };
        tables.by_id.get(&id).cloned()
    }

    /// The tenant that a custom domain names.
    pub(super) fn of_domain(&self, domain: &str) -> Option<TenantEntry> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables.by_id.get(tables.by_domain.get(domain)?).cloned()
    }

    /// For how many days the tenant's plan keeps events.
    pub(super) fn retention_days(&self, of: &TenantEntry) -> Option<i32> {
        self.of_plan(of, |plan| plan.retention_days)
    }

    /// The limits of the tenant's plan.
    pub(super) fn plan_limits(&self, of: &TenantEntry) -> Option<Arc<[PlanLimit]>> {
        self.of_plan(of, |plan| Arc::clone(&plan.limits))
    }

    pub(super) fn has_resource_type(&self, project: &str, name: &str) -> bool {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let of_project = tables.resource_types.get(project);
        of_project.is_some_and(|names| names.contains(name))
    }

    pub(super) fn resource_types(&self, project: &str) -> Vec<String> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let of_project = tables.resource_types.get(project).into_iter().flatten();
        of_project.map(|name| name.as_ref().to_owned()).collect()
    }

    fn of_plan<T>(&self, of: &TenantEntry, what: impl FnOnce(&PlanEntry) -> T) -> Option<T> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let plan = (
            Arc::clone(&of.project),
            Arc::clone(&of.plan),
            of.plan_version,
        );
        tables.plans.get(&plan).map(what)
    }

    /// The ancestors of a tenant, nearest first, all at one instant; `None` where one of them isn't known.
    pub(super) fn ancestors(&self, of: &TenantEntry) -> Option<Vec<TenantEntry>> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let mut ancestors = Vec::new();
        let mut parent = of.parent;
        while let Some(id) = parent
            && ancestors.len() < MAX_LEVELS
        {
            let entry = tables.by_id.get(&id)?;
            parent = entry.parent;
            ancestors.push(entry.clone());
        }
        Some(ancestors)
    }

    /// The first so many tenants of a project that are asked for, by id, behind this one.
    pub(super) fn list(
        &self,
        project: &str,
        (after, limit): (Option<TenantId>, usize),
        wanted: impl Fn(&TenantEntry) -> bool,
    ) -> Vec<TenantEntry> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let entries = tables.by_id.values();
        let mut entries: Vec<_> = entries
            .filter(|entry| Some(entry.id) > after && &*entry.project == project && wanted(entry))
            .collect();
        if entries.len() > limit {
            // Only the first ones are sorted.
            entries.select_nth_unstable_by_key(limit, |entry| entry.id);
            entries.truncate(limit);
        }
        entries.sort_unstable_by_key(|entry| entry.id);
        entries.into_iter().cloned().collect()
    }

    /// How many tenants that are asked for are known.
    pub(super) fn count(&self, wanted: impl Fn(&TenantEntry) -> bool) -> usize {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let entries = tables.by_id.values();
        entries.filter(|entry| wanted(entry)).count()
    }

    /// How many tenants are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tables
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .by_id
            .len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How old what is known is.
    #[must_use]
    pub fn age(&self) -> Duration {
        let fresh = self.fresh.read().unwrap_or_else(PoisonError::into_inner);
        fresh.map_or(NEVER, |at| at.elapsed())
    }

    /// Notes that the view held everything up to `age` ago.
    pub(super) fn freshen(&self, age: Duration) {
        let at = Instant::now().checked_sub(age);
        let mut fresh = self.fresh.write().unwrap_or_else(PoisonError::into_inner);
        *fresh = (*fresh).max(at);
    }

    /// Forgets every tenant that a complete list doesn't have.
    pub(super) fn keep_only(&self, listed: &HashSet<TenantId>) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        tables.by_id.retain(|id, _| listed.contains(id));
        for slugs in tables.by_slug.values_mut() {
            slugs.retain(|_, id| listed.contains(id));
        }
        tables.by_domain.retain(|_, id| listed.contains(id));
    }

    /// Applies a version of a plan. What a version says never changes.
    pub(super) fn apply_plan(&self, plan: &Plan) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let key = (
            tables.name(&plan.project),
            tables.name(&plan.key),
            plan.version,
        );
        let limits = plan.limits.iter().map(|limit| PlanLimit {
            resource_type: limit.resource_type.clone(),
            limit: limit.limit,
            reset_period: limit.reset_period.clone(),
            policy: policy(limit),
        });
        let plan = PlanEntry {
            retention_days: plan.retention_days,
            limits: limits.collect(),
        };
        for limit in plan.limits.iter() {
            let name = tables.name(&limit.resource_type);
            let of_project = tables.resource_types.entry(Arc::clone(&key.0));
            of_project.or_default().insert(name);
        }
        tables.plans.insert(key, plan);
    }

    /// Applies one entry, if it is newer than what is known.
    pub(super) fn apply(&self, entry: wire::TenantEntry) {
        let Ok(id) = entry.id.parse::<TenantId>() else {
            return;
        };
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        if tables
            .by_id
            .get(&id)
            .is_some_and(|known| known.version >= entry.version)
        {
            return;
        }
        if let Some(old) = tables.by_id.remove(&id) {
            if let Some(slugs) = tables.by_slug.get_mut(&old.project)
                && slugs.get(&old.slug) == Some(&id)
            {
                slugs.remove(&old.slug);
            }
            for domain in old.domains.iter() {
                if tables.by_domain.get(domain) == Some(&id) {
                    tables.by_domain.remove(domain);
                }
            }
        }
        let Some(entry) = tables.entry(id, entry) else {
            return;
        };
        for domain in entry.domains.iter() {
            tables.by_domain.insert(domain.clone(), id);
        }
        tables
            .by_slug
            .entry(Arc::clone(&entry.project))
            .or_default()
            .insert(Arc::clone(&entry.slug), id);
        tables.by_id.insert(id, entry);
    }
}

impl Tables {
    /// The entry from the wire; `None` for a tombstone, or a status of a newer fleet that nothing here may admit.
    fn entry(&mut self, id: TenantId, wire: wire::TenantEntry) -> Option<TenantEntry> {
        Some(TenantEntry {
            id,
            project: self.name(&wire.project),
            status: wire.status.parse().ok()?,
            plan: self.name(&wire.plan),
            plan_version: wire.plan_version,
            parent: wire.parent_id.parse().ok(),
            version: wire.version,
            slug: wire.slug.into(),
            domains: if wire.domains.is_empty() {
                Arc::clone(&self.no_domains)
            } else {
                wire.domains.into()
            },
            held: wire.held,
            timezone: self.name(&wire.timezone),
            requested_limits: if wire.requested_limits.is_empty() {
                Arc::clone(&self.no_limits)
            } else {
                let limits = wire.requested_limits.into_iter();
                limits
                    .map(|asked| RequestedLimit {
                        resource_type: asked.resource_type,
                        limit: asked.limit,
                        granted_by_operator: asked.granted_by_operator,
                    })
                    .collect()
            },
        })
    }

    fn name(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.names.get(text) {
            return Arc::clone(known);
        }
        let name: Arc<str> = text.into();
        self.names.insert(Arc::clone(&name));
        name
    }
}

/// The entry of a single look-up.
pub(super) fn entry(wire: wire::TenantEntry) -> Option<TenantEntry> {
    let id = wire.id.parse().ok()?;
    Tables::default().entry(id, wire)
}

/// How a limit is kept. What a newer fleet says of that and isn't known here is as if it weren't said.
fn policy(limit: &registry::PlanLimit) -> LimitPolicy {
    let said = limit.policy.as_ref().map(|policy| {
        let at = ("policy", limit.reset_period == "never");
        limit_policy::from_wire(policy, at, &mut Violations::new())
    });
    said.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(id: TenantId, slug: &str, status: &str, version: i64) -> wire::TenantEntry {
        wire::TenantEntry {
            id: id.to_string(),
            project: "default".to_owned(),
            slug: slug.to_owned(),
            status: status.to_owned(),
            version,
            ..Default::default()
        }
    }

    #[test]
    fn a_hold_and_its_end_are_known_by_the_newest_version() {
        let view = View::default();
        let id = TenantId::new();
        for (held, version, known) in [
            (false, 1, false),
            (true, 3, true),
            (false, 2, true),
            (false, 4, false),
        ] {
            view.apply(wire::TenantEntry {
                held,
                ..wire(id, "one", "active", version)
            });
            let entry = view.find("", &TenantRef::Id(id)).unwrap();
            assert_eq!(entry.held, known, "{version}");
        }
    }

    #[test]
    fn a_list_goes_on_behind_a_tenant_and_has_those_of_its_project_by_id() {
        let view = View::default();
        let mut ids: Vec<_> = (0..20).map(|_| TenantId::new()).collect();
        for (nth, id) in ids.iter().enumerate() {
            let status = if nth == 3 { "deleted" } else { "active" };
            view.apply(wire(*id, &format!("slug-{nth}"), status, 1));
        }
        view.apply(wire::TenantEntry {
            project: "other".to_owned(),
            ..wire(TenantId::new(), "slug", "active", 1)
        });
        let in_use = |entry: &TenantEntry| entry.status.is_active();
        ids.remove(3);
        ids.sort();
        assert_eq!(view.count(in_use), ids.len() + 1);
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let page = view.list("default", (after, 7), in_use);
            listed.extend(page.iter().map(|entry| entry.id));
            after = listed.last().copied();
            if page.len() < 7 {
                break;
            }
        }
        assert_eq!(listed, ids);
    }

    #[test]
    fn a_tombstone_and_a_list_without_it_make_a_tenant_unknown_by_id_slug_and_domain() {
        let view = View::default();
        let ids = [TenantId::new(), TenantId::new(), TenantId::new()];
        for (id, slug) in ids.into_iter().zip(["one", "two", "three"]) {
            view.apply(wire::TenantEntry {
                domains: vec![format!("{slug}.example.com")],
                ..wire(id, slug, "active", 1)
            });
        }
        view.apply(wire(ids[0], "one", "purged", 2));
        view.keep_only(&HashSet::from([ids[0], ids[2]]));
        for (place, slug) in ["one", "two", "three"].into_iter().enumerate() {
            let by_slug = view.find("default", &TenantRef::Slug(slug.to_owned()));
            assert_eq!(by_slug.is_some(), place == 2, "{slug}");
            let by_domain = view.of_domain(&format!("{slug}.example.com"));
            assert_eq!(by_domain.is_some(), place == 2, "{slug}");
            assert_eq!(by_slug, view.find("", &TenantRef::Id(ids[place])), "{slug}");
        }
    }
}

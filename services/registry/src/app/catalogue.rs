//! Loading the catalogue file into projects.
//!
//! Each plan of a project remembers what the file said of it last. A file that says the same again changes nothing, however
//! the plan was edited meanwhile; one that says something else makes a version of what it says, over any edit. A plan that
//! the file no longer names stays, and one that was made through the API is never the file's, even under the same key.

use std::collections::HashMap;
use std::time::Duration;

use tenantry_core::{Permissions, PlanId, RequestContext, TenantId, clock};
use tenantry_store::TenantTx;

use super::App;
use super::event::event;
use super::plans::{CREATED, KIND, UPDATED};
use crate::domain::OWN;
use crate::domain::plan::{Definition, Plan};
use crate::error::Error;
use crate::store::{plans, projects};

/// Projects that are read at once.
const PROJECTS_AT_ONCE: i64 = 100;
/// Pause before the next try while the database doesn't answer.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

impl App {
    /// Loads the file into every project, as soon as the database answers. Replicas that start at once wait for each other
    /// and load once.
    pub(crate) async fn load_catalogue(&self) -> Result<(), Error> {
        loop {
            match self.load_into_all().await {
                Err(Error::Store(error @ tenantry_store::Error::Unavailable(_))) => {
                    tracing::warn!(error = %error, "the plan catalogue can't be loaded yet");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                loaded => return loaded,
            }
        }
    }

    async fn load_into_all(&self) -> Result<(), Error> {
        let mut after = String::new();
        loop {
            let mut tx = self.store.read(TenantId::PLATFORM).await?;
            let projects = projects::page(tx.conn(), &after, PROJECTS_AT_ONCE).await?;
            drop(tx);
            for project in &projects {
                self.load_into(&project.key).await?;
            }
            match projects.into_iter().next_back() {
                Some(last) => after = last.key,
                None => return Ok(()),
            }
        }
    }

    async fn load_into(&self, project: &str) -> Result<(), Error> {
        let mut tx = self.store.begin(TenantId::PLATFORM).await?;
        if self.is_loaded(&mut tx, project).await? {
            return Ok(());
        }
        projects::hold(tx.conn(), project).await?;
        self.load(&mut tx, project, None).await?;
        Ok(tx.commit().await?)
    }

    /// Whether the file says of each plan what it said last.
    async fn is_loaded(&self, tx: &mut TenantTx, project: &str) -> Result<bool, Error> {
        let said = plans::in_file(tx.conn(), project).await?;
        Ok(self
            .catalogue
            .plans
            .iter()
            .all(|plan| said.iter().any(|(_, said)| said.as_ref() == Some(plan))))
    }

    /// Loads the file into a project that the transaction holds: as the caller's doing, where there is one.
    pub(super) async fn load(
        &self,
        tx: &mut TenantTx,
        project: &str,
        ctx: Option<&RequestContext>,
    ) -> Result<(), Error> {
        plans::hold_all(tx.conn(), project).await?;
        let present = plans::of_project(tx.conn(), project).await?;
        let said: HashMap<_, _> = plans::in_file(tx.conn(), project)
            .await?
            .into_iter()
            .collect();
        let mut names: HashMap<String, PlanId> = HashMap::new();
        for plan in &present {
            names.extend(plan.definition.names().map(|name| (name.clone(), plan.id)));
        }
        let mut events = Vec::new();
        for in_file in &self.catalogue.plans {
            let now = present
                .iter()
                .find(|plan| names.get(&in_file.key) == Some(&plan.id));
            let event = match now {
                None => self.add(tx, project, in_file, &mut names).await?,
                Some(plan) => match said.get(&plan.id) {
                    Some(Some(said)) if said == in_file => continue,
                    Some(Some(_)) => self.follow(tx, plan, in_file, &mut names).await?,
                    _ => {
                        tracing::warn!(
                            tenantry.project = project,
                            tenantry.plan = in_file.key,
                            "the project has a plan of its own of that name: the catalogue's is left out"
                        );
                        continue;
                    }
                },
            };
            events.extend(event);
        }
        let own = RequestContext::of_service(OWN, Permissions::NONE);
        for (action, before, after) in events {
            let kind = (KIND, after.id.uuid());
            let event = event(
                ctx.unwrap_or(&own),
                action,
                kind,
                before.as_ref(),
                Some(&after),
            )?;
            tx.record(&event).await?;
        }
        Ok(())
    }

    /// A plan that the project doesn't have yet.
    async fn add(
        &self,
        tx: &mut TenantTx,
        project: &str,
        in_file: &Definition,
        names: &mut HashMap<String, PlanId>,
    ) -> Result<Option<Loaded>, Error> {
        let mut plan = Plan::create(project, in_file.clone(), clock::now());
        take_names(&mut plan, names);
        plans::insert(tx.conn(), &plan, Some(in_file)).await?;
        Ok(Some((CREATED, None, plan)))
    }

    /// The next version of a plan of which the file says something else than last time.
    async fn follow(
        &self,
        tx: &mut TenantTx,
        plan: &Plan,
        in_file: &Definition,
        names: &mut HashMap<String, PlanId>,
    ) -> Result<Option<Loaded>, Error> {
        let mut wanted = plan.clone();
        wanted.definition = in_file.clone();
        take_names(&mut wanted, names);
        plans::set_in_file(tx.conn(), plan.id, in_file).await?;
        // An edit may have said the same before.
        let Some(next) = plan.next(wanted.definition, clock::now()) else {
            return Ok(None);
        };
        plans::advance(tx.conn(), &next).await?;
        Ok(Some((UPDATED, Some(plan.clone()), next)))
    }
}

/// An event to be: action, plan before and after.
type Loaded = (&'static str, Option<Plan>, Plan);

/// Gives a plan its names, but for aliases that are another plan's in the project.
fn take_names(plan: &mut Plan, names: &mut HashMap<String, PlanId>) {
    let id = plan.id;
    plan.definition.aliases.retain(|alias| {
        let free = names.get(alias).is_none_or(|owner| *owner == id);
        if !free {
            tracing::warn!(
                tenantry.project = plan.project,
                tenantry.plan = alias,
                "another plan of the project has that alias: it is left out"
            );
        }
        free
    });
    names.extend(plan.definition.names().map(|name| (name.clone(), id)));
}

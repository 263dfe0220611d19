//! What becomes of one row of an import: what a create of the same tenant would answer, seen after the rows before it. In a
//! dry run those are no tenants, so what they would be is read from the rows themselves.

use tenantry_core::{Reason, Refusal, RequestContext, TenantId, TenantRef, TenantStatus};
use tenantry_store::TenantTx;

use super::App;
use crate::domain::import::{Decision, Draft, Import, Parent};
use crate::domain::slug;
use crate::domain::tenant::{MAX_LEVELS, NewTenant, Place, Tenant};
use crate::error::Error;
use crate::store::{import_rows, tree};

/// Where a row's tenant is to stand.
#[derive(Clone, Copy, Debug)]
struct Stand {
    parent: Option<TenantId>,
    /// Its own level.
    level: usize,
}

/// Tenants that are there: the one with a row's own external id, and its parent.
#[derive(Debug)]
struct Known {
    itself: Option<Tenant>,
    parent: Option<Tenant>,
}

impl App {
    /// Decides about a row. What it makes stays if this transaction does, and nothing else stays of it; a refusal comes as an
    /// error.
    pub(super) async fn decide_row(
        &self,
        tx: &mut TenantTx,
        import: &Import,
        draft: Draft,
    ) -> Result<Decision, Error> {
        let new = draft.new;
        not_repeated(tx, import, &new).await?;
        let known = self.known(&import.project, &new, &draft.parent).await?;
        if let Some(tenant) = known.itself
            && tenant.status != TenantStatus::Deleted
        {
            return Ok(Decision::Exists {
                tenant: tenant.id,
                slug: tenant.slug,
            });
        }
        let ctx = import.starter();
        let stand = self.stand(tx, &ctx, import, (&draft.parent, known.parent));
        let stand = stand.await?;
        let (asked, plain) = (new.slug.clone(), slug::from_name(&new.name, None));
        let new = NewTenant {
            parent_id: stand.parent,
            ..new
        };
        let id = TenantId::new();
        tx.enter_new(id).await?;
        let made = self.write_new(tx, &ctx, id, new).await?;
        let mut slug = made.slug;
        if import.dry_run && asked.is_empty() {
            // With random letters in it, or to have some once an earlier row has it plain.
            tx.turn_to(TenantId::PLATFORM).await?;
            let (taken, _) = import_rows::repeated(tx.conn(), import.id, &slug, "").await?;
            if slug != plain || taken.is_some() {
                slug.clear();
            }
        }
        Ok(Decision::Created {
            tenant: made.id,
            slug,
            parent: stand.parent,
            level: stand.level,
        })
    }

    /// What there is of the tenants that a row names.
    async fn known(&self, project: &str, new: &NewTenant, parent: &Parent) -> Result<Known, Error> {
        let above = match parent {
            Parent::ExternalId(id) => id,
            Parent::None | Parent::Named(_) => "",
        };
        let asked = [new.external_id.as_str(), above];
        let mut found = Vec::new();
        let mut named = None;
        if asked != ["", ""] || matches!(parent, Parent::Named(_)) {
            let mut platform = self.store.platform().await?;
            found = tree::of_external_ids(platform.conn(), project, &asked).await?;
            if let Parent::Named(name) = parent
                && let Some(name) = TenantRef::parse(name)
            {
                named = tree::resolve(platform.conn(), project, &name).await?;
            }
        }
        let called = |id: &str| {
            let mut found = found.iter();
            let same = found.find(|tenant| tenant.external_id.as_deref() == Some(id));
            same.filter(|_| !id.is_empty()).cloned()
        };
        Ok(Known {
            itself: called(&new.external_id),
            parent: named
                .or_else(|| called(above))
                .filter(|parent| parent.project == project),
        })
    }

    async fn stand(
        &self,
        tx: &mut TenantTx,
        ctx: &RequestContext,
        import: &Import,
        (parent, known): (&Parent, Option<Tenant>),
    ) -> Result<Stand, Error> {
        if *parent == Parent::None {
            return Ok(Stand {
                parent: None,
                level: 1,
            });
        }
        let Some(known) = known else {
            return if import.dry_run {
                below_a_row(tx, import, parent).await
            } else {
                Err(Error::ParentNotFound)
            };
        };
        let spot = self.spot(tx, ctx, &known).await?;
        if import.dry_run {
            let more = import_rows::children(tx.conn(), import.id, known.id).await?;
            Place::has_room(spot.children + more)?;
        }
        Ok(Stand {
            parent: Some(known.id),
            level: spot.level + 1,
        })
    }
}

/// The place below what an earlier row of a dry run would make. Rows are too few to fill it.
async fn below_a_row(tx: &mut TenantTx, import: &Import, parent: &Parent) -> Result<Stand, Error> {
    let (slug, external_id) = match parent {
        Parent::None => ("", ""),
        Parent::Named(name) => (name.as_str(), ""),
        Parent::ExternalId(id) => ("", id.as_str()),
    };
    let above = import_rows::stand_in(tx.conn(), import.id, slug, external_id)
        .await?
        .ok_or(Error::ParentNotFound)?;
    if above.level >= MAX_LEVELS {
        return Err(Error::TooDeep);
    }
    Ok(Stand {
        parent: Some(above.id),
        level: above.level + 1,
    })
}

/// Refuses a row whose names an earlier row of the file was given.
async fn not_repeated(tx: &mut TenantTx, import: &Import, new: &NewTenant) -> Result<(), Error> {
    let (slug, external_id) =
        import_rows::repeated(tx.conn(), import.id, &new.slug, &new.external_id).await?;
    if let Some(row) = external_id {
        let what = format!("Row {row} of this file has that external id. Give each its own.");
        return Err(Refusal::new(Reason::ExternalIdTaken, what).into());
    }
    if let Some(row) = slug {
        let what = format!("The tenant of row {row} of this file has that slug. Choose another.");
        return Err(Refusal::new(Reason::SlugTaken, what).into());
    }
    Ok(())
}

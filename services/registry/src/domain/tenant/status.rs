//! The tenant's way through its life: what each status leads to, and what it came from.

use jiff::Timestamp;
use tenantry_core::tenant::{Admission, Caller, MethodKind};
use tenantry_core::{Refusal, TenantId, TenantStatus};

use super::{Outcome, Tenant, UNDELETE_DAYS, days_after};
use crate::error::Error;

/// A way of the tenant's life that it is asked to go.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Stops it.
    Suspend { reason: String },
    /// Ends what stops it.
    Resume,
    /// Puts it away.
    Archive,
    /// Marks it as deleted; it has no living children.
    Delete,
    /// Takes that back.
    Undelete,
}

/// What a tenant goes through because one above it is asked to take a step with all below it.
#[derive(Clone, Debug)]
pub(crate) enum Along {
    /// What is in use is suspended with it.
    Suspend { above: TenantId, reason: String },
    /// What was suspended with it is resumed.
    Resume { above: TenantId },
}

/// What stands around a tenant, as far as the step depends on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Around {
    /// Number of direct children that aren't deleted.
    pub(crate) living_children: i64,
    /// Who asked for the legal holds that it is under.
    pub(crate) holders: Vec<String>,
    /// Its parent.
    pub(crate) parent: Option<(TenantId, TenantStatus)>,
}

impl Tenant {
    /// Takes a step.
    pub(crate) fn step(&self, step: &Step, around: &Around, now: Timestamp) -> Outcome {
        match step {
            Step::Suspend { reason } => self.suspend(reason, None, now),
            Step::Resume => self.resume(now),
            Step::Archive => self.archive(now),
            Step::Delete => self.delete(around, now),
            Step::Undelete => self.undelete(around, now),
        }
    }

    /// Goes along with a step of a tenant above. What is not in use, or was itself asked to stop, stays as it is.
    pub(crate) fn go_along(&self, along: &Along, now: Timestamp) -> Outcome {
        match along {
            Along::Suspend { above, reason } if self.status.is_active() => {
                self.suspend(reason, Some(*above), now)
            }
            Along::Resume { above }
                if self.status == TenantStatus::Suspended && self.suspended_by == Some(*above) =>
            {
                self.resume(now)
            }
            Along::Suspend { .. } | Along::Resume { .. } => Ok(None),
        }
    }

    /// Refuses to change what is kept as it was.
    pub(super) fn changeable(&self) -> Result<(), Error> {
        match self.status.admits(Caller::Above, MethodKind::Change) {
            Admission::Kept => Err(Error::Kept(self.status)),
            Admission::Admitted | Admission::Stopped(_) | Admission::Absent => Ok(()),
        }
    }

    /// Suspends what is in use. A tenant that a cascade suspended becomes suspended for itself where that is asked.
    fn suspend(&self, reason: &str, by: Option<TenantId>, now: Timestamp) -> Outcome {
        match self.status {
            TenantStatus::Suspended if by.is_some() || self.suspended_by.is_none() => Ok(None),
            TenantStatus::Deleted => Err(Error::StatusForbids(
                "A deleted tenant can't be suspended. Undelete it first.",
            )),
            TenantStatus::Archived => Err(Error::StatusForbids(
                "An archived tenant is stopped already. Resume it first to suspend it instead.",
            )),
            TenantStatus::Provisioning => Err(Error::StatusForbids(
                "The tenant isn't in use yet. Delete it, or suspend it once it is set up.",
            )),
            TenantStatus::Trial | TenantStatus::Active | TenantStatus::Suspended => {
                self.changed("tenant.suspended", now, |tenant| {
                    if self.status != TenantStatus::Suspended {
                        tenant.suspended_from = Some(self.status);
                    }
                    tenant.status = TenantStatus::Suspended;
                    tenant.suspended_by = by;
                    reason.clone_into(&mut tenant.suspend_reason);
                })
            }
        }
    }

    /// Ends a suspension, or brings an archived tenant back to what it was, which may be suspended.
    fn resume(&self, now: Timestamp) -> Outcome {
        match self.status {
            TenantStatus::Trial | TenantStatus::Active => Ok(None),
            TenantStatus::Deleted => Err(Error::StatusForbids(
                "A deleted tenant can't be resumed. Undelete it first.",
            )),
            TenantStatus::Provisioning => Err(Error::StatusForbids(
                "The tenant is still being set up, and comes into use at the end of that.",
            )),
            TenantStatus::Suspended => self.changed("tenant.resumed", now, |tenant| {
                tenant.status = self.suspended_from.unwrap_or(TenantStatus::Active);
                tenant.suspended_from = None;
                tenant.suspended_by = None;
                tenant.suspend_reason.clear();
            }),
            TenantStatus::Archived => self.changed("tenant.resumed", now, |tenant| {
                tenant.status = self.archived_from.unwrap_or(TenantStatus::Active);
                tenant.archived_from = None;
                tenant.archived_at = None;
            }),
        }
    }

    fn archive(&self, now: Timestamp) -> Outcome {
        match self.status {
            TenantStatus::Archived => Ok(None),
            TenantStatus::Deleted => Err(Error::StatusForbids(
                "A deleted tenant can't be archived. Undelete it first.",
            )),
            TenantStatus::Provisioning => Err(Error::StatusForbids(
                "The tenant isn't in use yet. Delete it, or archive it once it is set up.",
            )),
            TenantStatus::Trial | TenantStatus::Active | TenantStatus::Suspended => {
                self.changed("tenant.archived", now, |tenant| {
                    tenant.archived_from = Some(self.status);
                    tenant.archived_at = Some(now);
                    tenant.status = TenantStatus::Archived;
                })
            }
        }
    }

    /// Deletes what nothing living hangs on and nobody holds.
    fn delete(&self, around: &Around, now: Timestamp) -> Outcome {
        if self.status == TenantStatus::Deleted {
            return Ok(None);
        }
        not_held(&around.holders)?;
        if around.living_children > 0 {
            return Err(Error::HasChildren);
        }
        self.changed("tenant.deleted", now, |tenant| {
            tenant.deleted_from = Some(self.status);
            tenant.status = TenantStatus::Deleted;
            tenant.deleted_at = Some(now);
            tenant.purge_at = Some(days_after(now, UNDELETE_DAYS));
        })
    }

    /// Brings a tenant back whose parent is there.
    fn undelete(&self, around: &Around, now: Timestamp) -> Outcome {
        if self.status != TenantStatus::Deleted {
            return Ok(None);
        }
        if around.parent.map(|(id, _)| id) != self.parent_id {
            // It was moved, and deleted again, since its parent was looked at.
            return Err(Error::Refused(Refusal::unavailable()));
        }
        if let Some((_, TenantStatus::Deleted)) = around.parent {
            return Err(Error::StatusForbids(
                "Its parent tenant is deleted. Undelete that first.",
            ));
        }
        self.not_being_purged()?;
        self.changed("tenant.undeleted", now, |tenant| {
            tenant.status = self.deleted_from.unwrap_or(TenantStatus::Active);
            tenant.deleted_from = None;
            tenant.deleted_at = None;
            tenant.purge_at = None;
        })
    }
}

impl Tenant {
    /// Refuses what would come too late.
    pub(crate) fn not_being_purged(&self) -> Result<(), Error> {
        if self.purge_started_at.is_none() {
            return Ok(());
        }
        let why = "The tenant is being purged, which can't be taken back.";
        Err(Error::StatusForbids(why))
    }
}

/// Refuses to remove what is under legal hold.
pub(crate) fn not_held(holders: &[String]) -> Result<(), Error> {
    if holders.is_empty() {
        Ok(())
    } else {
        Err(Error::LegalHold(holders.join("; ")))
    }
}

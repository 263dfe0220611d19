//! The end of a trial, by its time.

use jiff::Timestamp;
use tenantry_core::{Refusal, TenantStatus};

use super::{MAX_TRIAL_DAYS, Outcome, Tenant, days_after};
use crate::domain::plan::PlanVersion;
use crate::error::Error;

/// Why a tenant is suspended whose trial ended.
const TRIAL_ENDED: &str = "The trial has ended.";

impl Tenant {
    /// Whether the tenant is in its trial, also where that is interrupted.
    pub(super) fn is_in_trial(&self) -> bool {
        let trial = Some(TenantStatus::Trial);
        let interrupted = |status, from| self.status == status && from == trial;
        Some(self.status) == trial || interrupted(TenantStatus::Suspended, self.suspended_from)
    }

    /// Refuses an end of a trial that there is none of, or that lies out of reach.
    pub(super) fn may_end_trial(&self, at: Timestamp, now: Timestamp) -> Result<(), Error> {
        if Some(at) == self.trial_ends_at {
            return Ok(());
        }
        if !self.is_in_trial() {
            return Err(Error::StatusForbids(
                "The tenant isn't in a trial, so there is no end of one to set.",
            ));
        }
        if at <= now || at > days_after(now, MAX_TRIAL_DAYS.into()) {
            let why = format!("must be in the future and at most {MAX_TRIAL_DAYS} days from now");
            return Err(Refusal::field("trial_ends_at", why).into());
        }
        Ok(())
    }

    /// Ends a trial: the tenant becomes what its plan says, and goes to another plan where it says so.
    pub(crate) fn end_trial(
        &self,
        then: TenantStatus,
        plan: Option<&PlanVersion>,
        now: Timestamp,
    ) -> Outcome {
        if self.status != TenantStatus::Trial {
            return Ok(None);
        }
        self.changed("tenant.trial_ended", now, |tenant| {
            tenant.status = then;
            if then == TenantStatus::Suspended {
                tenant.suspended_from = Some(TenantStatus::Active);
                TRIAL_ENDED.clone_into(&mut tenant.suspend_reason);
            }
            if let Some(plan) = plan {
                tenant.put_on(plan);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{now, tenant};
    use super::*;

    #[test]
    fn a_trial_becomes_what_its_plan_says() {
        let trial = tenant(7);
        let basic = PlanVersion {
            key: "basic".to_owned(),
            version: 3,
        };
        let ended = trial.end_trial(TenantStatus::Active, Some(&basic), now());
        let ended = ended.unwrap().unwrap().tenant;
        assert_eq!(
            (ended.status, ended.plan.as_str(), ended.trial_ends_at),
            (TenantStatus::Active, "basic", trial.trial_ends_at)
        );
        let stopped = trial.end_trial(TenantStatus::Suspended, None, now());
        let stopped = stopped.unwrap().unwrap().tenant;
        assert_eq!(
            (stopped.status, stopped.suspended_from, &stopped.plan),
            (
                TenantStatus::Suspended,
                Some(TenantStatus::Active),
                &trial.plan
            )
        );
        let again = ended.end_trial(TenantStatus::Suspended, None, now());
        assert_eq!(again.unwrap(), None);
    }
}

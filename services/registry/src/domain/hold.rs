//! Legal holds.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenantry_core::refusal::Violations;
use tenantry_core::{LegalHoldId, Principal, Refusal, TenantId};

use super::field;

/// Most holds that stand on one tenant at once.
pub(crate) const MAX_HOLDS: usize = 100;

/// What keeps a tenant from being deleted, as it stands in its row, in its events and in recorded answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LegalHold {
    pub(crate) id: LegalHoldId,
    pub(crate) tenant_id: TenantId,
    /// Who asked for it.
    pub(crate) holder: String,
    pub(crate) reason: String,
    pub(crate) placed_by: Principal,
    pub(crate) placed_at: Timestamp,
}

/// Checks for whom and why a hold is to be placed.
pub(crate) fn check(holder: &str, reason: &str) -> Result<(), Refusal> {
    let mut wrong = Violations::new();
    wrong.take("holder", field::name(holder));
    wrong.take("reason", field::reason(reason));
    if reason.trim().is_empty() {
        wrong.add("reason", "must say why the hold is placed");
    }
    wrong.check()
}

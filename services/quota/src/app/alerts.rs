//! Alerts as events, each in the log of the tenant whose limit it is. They are written with what is counted, so that each is told
//! once, whatever crashes.

use serde_json::Value;
use tenantry_core::event::Event;
use tenantry_core::{TenantId, UsageAlertId};
use tenantry_store::TenantTx;

use super::OWN;
use crate::domain::alert::Alert;
use crate::error::Error;

/// What the log calls an alert.
const RAISED: &str = "usage_alert.raised";

/// The events of alerts, each with its tenant.
pub(super) fn events(alerts: &[Alert]) -> Vec<(TenantId, Event)> {
    let events = alerts.iter().map(|alert| {
        let id = UsageAlertId::new().uuid();
        let event = Event::by_service(OWN, RAISED, "usage_alert", id, Value::Null, alert.facts());
        (alert.tenant(), event)
    });
    events.collect()
}

/// Writes the events of alerts of the transaction's own tenant.
pub(super) async fn tell(tx: &mut TenantTx, alerts: &[Alert]) -> Result<(), Error> {
    for (_, event) in events(alerts) {
        tx.record(&event).await?;
    }
    Ok(())
}

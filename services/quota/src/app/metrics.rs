//! What a tenant's month came to, and what all tenants come to.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use tenantry_core::{Refusal, TenantStatus};
use tenantry_rpc::tenants::TenantEntry;

use super::App;
use super::bounds::zone;
use crate::domain::period::ResetPeriod;
use crate::domain::series::Interval;
use crate::error::Error;
use crate::store::totals::Totals;
use crate::store::{accounts, active_users, series, totals};

const CALLS: &str = "api_calls";
const STORAGE: &str = "storage_bytes";

/// A month of a tenant's.
#[derive(Clone, Debug)]
pub(crate) struct Month {
    /// As `2026-01`.
    pub(crate) period: String,
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    /// None where the log isn't kept for so long.
    pub(crate) active_users: Option<i64>,
    pub(crate) api_calls: i64,
    /// Now, or at the end of the month.
    pub(crate) storage_bytes: i64,
}

/// What all tenants come to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlatformTotals {
    pub(crate) tenants: usize,
    pub(crate) used: Totals,
}

impl App {
    /// A month of a tenant's calendar; the present one where none is named.
    pub(crate) async fn month(&self, tenant: &TenantEntry, named: &str) -> Result<Month, Error> {
        let zone = zone(tenant)?;
        let mut tx = self.store.read(tenant.id).await?;
        // A gauge, which the ledger alone counts.
        let period = ResetPeriod::Never.word();
        let storage = accounts::find_newest(tx.conn(), tenant.id, STORAGE, period).await?;
        let storage = storage.map_or(0, |account| account.used());
        let now = accounts::now(tx.conn()).await?;
        let within = match named {
            "" => now,
            named => middle(named, &zone)?,
        };
        let window = ResetPeriod::Month.window(&zone, within, None);
        let (start, end) = (window.start, window.end.unwrap_or(now));
        if start > now || start < Interval::Month.kept_since(now) {
            let why = "must be the present month, or one of the 400 days before, as 2026-01";
            return Err(Refusal::field("period", why).into());
        }
        let span = [start, end];
        let calls = series::sums(tx.conn(), tenant.id, (CALLS, 15), &span).await?;
        let since = series::since(tx.conn(), tenant.id, &[STORAGE], (end, end)).await?;
        let grown_since = since.first().map_or(0, |(late, _)| *late);
        let logged = start >= Interval::Minute.kept_since(now);
        let active_users = if logged {
            Some(active_users::in_spans(tx.conn(), tenant.id, &span).await?.1)
        } else {
            None
        };
        Ok(Month {
            period: zone.to_datetime(start).strftime("%Y-%m").to_string(),
            start,
            end,
            active_users,
            api_calls: calls.first().copied().unwrap_or_default(),
            storage_bytes: storage.saturating_sub(grown_since),
        })
    }

    /// What all tenants come to.
    pub(crate) async fn platform_totals(&self) -> Result<PlatformTotals, Error> {
        let there = |entry: &TenantEntry| entry.status != TenantStatus::Deleted;
        let tenants = self.tenants.count(there)?;
        let mut tx = self.store.platform().await?;
        let now = accounts::now(tx.conn()).await?;
        let used = totals::totals(tx.conn(), now, &self.overrides.pools()).await?;
        Ok(PlatformTotals { tenants, used })
    }
}

/// An instant in the middle of a month.
fn middle(named: &str, zone: &TimeZone) -> Result<Timestamp, Refusal> {
    let of_form = named.len() == 7 && named.is_ascii();
    let date = format!("{named}-15")
        .parse::<Date>()
        .ok()
        .filter(|_| of_form);
    let noon = date.and_then(|date| date.at(12, 0, 0, 0).to_zoned(zone.clone()).ok());
    let why = || Refusal::field("period", "must be a month, as 2026-01");
    noon.map(|noon| noon.timestamp()).ok_or_else(why)
}

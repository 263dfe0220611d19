//! What a tenant uses now, and by how many users.

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use tenantry_rpc::tenants::TenantEntry;

use crate::app::App;
use crate::app::bounds::zone;
use crate::domain::decision::Standing;
use crate::domain::limit::RESOURCE_TYPES;
use crate::domain::period::ResetPeriod;
use crate::domain::series::bounds;
use crate::error::Error;
use crate::store::{accounts, active_users, series};

/// Of how many days it is counted who used something, today included: the log is kept for longer.
const DAYS: i32 = 30;
/// What a trend compares.
const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What a tenant uses.
#[derive(Clone, Debug)]
pub(crate) struct Present {
    pub(crate) daily_active_users: Vec<(Date, i64)>,
    /// Each resource type that every project has or that bounds the tenant, by name.
    pub(crate) resources: Vec<ResourceUse>,
}

/// What is used of a resource type.
#[derive(Clone, Debug)]
pub(crate) struct ResourceUse {
    pub(crate) resource_type: String,
    pub(crate) standing: Standing,
    /// In percent.
    pub(crate) trend: Option<f64>,
}

impl App {
    /// What a tenant uses now.
    pub(crate) async fn present_use(&self, tenant: &TenantEntry) -> Result<Present, Error> {
        let quotas = self.quotas_of(tenant, &RESOURCE_TYPES).await?;
        let zone = zone(tenant)?;
        let mut tx = self.store.read(tenant.id).await?;
        let now = accounts::now(tx.conn()).await?;
        let names: Vec<_> = quotas
            .iter()
            .map(|quota| quota.resource_type.as_str())
            .collect();
        let weeks = (now - WEEK, now - WEEK - WEEK);
        let sums = series::since(tx.conn(), tenant.id, &names, weeks).await?;
        let days = days(&zone, now);
        let (users, _) = active_users::in_spans(tx.conn(), tenant.id, &days).await?;
        drop(tx);
        let dates = days.iter().map(|start| zone.to_datetime(*start).date());
        let resources = quotas
            .into_iter()
            .zip(sums)
            .map(|(quota, sums)| ResourceUse {
                trend: trend(&quota.standing, sums),
                resource_type: quota.resource_type,
                standing: quota.standing,
            });
        Ok(Present {
            daily_active_users: dates.zip(users).collect(),
            resources: resources.collect(),
        })
    }
}

/// Where the last days of a calendar begin, and where today ends.
fn days(zone: &jiff::tz::TimeZone, now: Timestamp) -> Vec<Timestamp> {
    let first = zone
        .to_datetime(now)
        .date()
        .saturating_sub((DAYS - 1).days());
    let first = first.at(12, 0, 0, 0).to_zoned(zone.clone());
    let from = first.map_or(now, |noon| noon.timestamp());
    let behind_now = now + SignedDuration::from_micros(1);
    bounds(ResetPeriod::Day, zone, (from, behind_now)).unwrap_or_default()
}

/// By how many percent more it is than a week ago: of what was used in the last week, and in the last two; or of what there is.
fn trend(standing: &Standing, (week, two_weeks): (i64, i64)) -> Option<f64> {
    let (more, before) = if standing.reset_period.is_never() {
        (week, standing.usage.saturating_sub(week))
    } else {
        let before = two_weeks.saturating_sub(week);
        (week.saturating_sub(before), before)
    };
    (before > 0).then(|| 100.0 * more as f64 / before as f64)
}

#[cfg(test)]
mod tests {
    use tenantry_core::TenantId;

    use super::*;

    #[test]
    fn a_trend_is_of_what_was_used_in_a_week_or_of_what_there_is() {
        let standing = |reset_period, usage| Standing {
            tenant: TenantId::PLATFORM,
            limit: None,
            beyond: 0,
            usage,
            reset_period,
            reset_at: None,
            rate: None,
        };
        let cases = [
            (ResetPeriod::Month, 900, (150, 250), Some(50.0)),
            (ResetPeriod::Day, 0, (25, 125), Some(-75.0)),
            (ResetPeriod::Month, 150, (150, 150), None),
            (ResetPeriod::Never, 120, (20, 90), Some(20.0)),
            (ResetPeriod::Never, 90, (-10, 0), Some(-10.0)),
            (ResetPeriod::Never, 20, (20, 20), None),
        ];
        for (period, usage, sums, expected) in cases {
            let trend = trend(&standing(period, usage), sums);
            assert_eq!(trend, expected, "{period:?} {sums:?}");
        }
    }

    #[test]
    fn there_are_thirty_days_and_the_last_one_has_now() {
        let zone = jiff::tz::TimeZoneDatabase::bundled();
        let zone = zone.get("Europe/Berlin").unwrap();
        for now in ["2026-03-29T00:30:00Z", "2026-10-24T22:00:00Z"] {
            let now: Timestamp = now.parse().unwrap();
            let days = days(&zone, now);
            assert_eq!(days.len(), 31);
            assert!(days[29] <= now && now < days[30]);
        }
    }
}

//! What was used in spans of time.

use jiff::Timestamp;
use tenantry_core::Refusal;
use tenantry_rpc::tenants::TenantEntry;

use crate::app::App;
use crate::app::bounds::zone;
use crate::domain::series::{Interval, MAX_SPANS, bounds};
use crate::error::Error;
use crate::store::{accounts, series};

/// A series that is asked for.
#[derive(Clone, Debug)]
pub(crate) struct AskedSeries {
    pub(crate) resource_type: String,
    pub(crate) interval: Interval,
    pub(crate) from: Option<Timestamp>,
    pub(crate) to: Option<Timestamp>,
}

/// What was used in each span.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) timezone: String,
    /// Where spans begin, and where the last one ends.
    pub(crate) bounds: Vec<Timestamp>,
    pub(crate) amounts: Vec<i64>,
}

impl App {
    /// What was used of a resource type in spans of time.
    pub(crate) async fn usage_series(
        &self,
        tenant: &TenantEntry,
        asked: &AskedSeries,
    ) -> Result<Series, Error> {
        // Of one that nobody knows it would be nothing at all times.
        self.bounds(tenant, &asked.resource_type).await?;
        let (interval, zone) = (asked.interval, zone(tenant)?);
        let mut tx = self.store.read(tenant.id).await?;
        let now = accounts::now(tx.conn()).await?;
        let to = asked.to.unwrap_or(now);
        let usual = || to.saturating_sub(interval.usual()).unwrap_or(now);
        let from = asked.from.unwrap_or_else(usual);
        if from >= to {
            return Err(Refusal::field("end_time", "must be behind start_time").into());
        }
        let bounds = bounds(interval.period(), &zone, (from, to)).ok_or_else(|| {
            let why = format!("is too far from start_time: more than {MAX_SPANS} spans lie between; ask for less time, or for a longer interval");
            Refusal::field("end_time", why)
        })?;
        let kept_since = interval.kept_since(now);
        if bounds.first().is_some_and(|first| *first < kept_since) {
            return Err(Refusal::field("start_time", too_old(interval, kept_since)).into());
        }
        let of = (asked.resource_type.as_str(), interval.width_minutes());
        let amounts = series::sums(tx.conn(), tenant.id, of, &bounds).await?;
        Ok(Series {
            timezone: zone.iana_name().unwrap_or("UTC").to_owned(),
            bounds,
            amounts,
        })
    }
}

fn too_old(interval: Interval, since: Timestamp) -> String {
    let days = interval.kept_days();
    let longer = match interval {
        Interval::Minute => "; hours and days are kept for longer",
        Interval::Hour | Interval::Day | Interval::Month => "",
    };
    format!(
        "lies in a {} that isn't kept any more: they are for {days} days. Begin with one that begins after {since}{longer}",
        interval.word()
    )
}

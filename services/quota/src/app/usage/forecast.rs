//! Where what a tenant uses leads.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use sqlx::PgConnection;
use tenantry_core::{TenantId, Window};
use tenantry_rpc::tenants::TenantEntry;

use crate::app::App;
use crate::app::bounds::zone;
use crate::domain::decision::Standing;
use crate::domain::forecast::{Gauge, Method, Progress, Step, Tested, Windows};
use crate::domain::period::ResetPeriod;
use crate::domain::series::{Interval, bounds};
use crate::error::Error;
use crate::store::{accounts, series};

/// Of how many days the growth of a gauge is looked at.
const GAUGE_DAYS: i32 = 90;
/// How far ahead it is said how much there will be of a gauge, and how far its limit is looked for.
const GAUGE_AHEAD: SignedDuration = SignedDuration::from_hours(24 * 30);
const GAUGE_HORIZON_DAYS: f64 = 365.0;
/// Of how long before the present window days and hours are looked at.
const DAYS_BEFORE: SignedDuration = SignedDuration::from_hours(24 * 60);
const HOURS_BEFORE: SignedDuration = SignedDuration::from_hours(24 * 2);

const DAY: SignedDuration = SignedDuration::from_hours(24);
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
/// What sums begin at multiples of, but those of minutes.
const QUARTER_SECONDS: i64 = 900;

/// What comes of a resource type.
#[derive(Clone, Debug)]
pub(crate) struct Forecast {
    pub(crate) standing: Standing,
    /// None where nothing is forecast.
    pub(crate) method: Option<Method>,
    pub(crate) trend_per_day: Option<f64>,
    pub(crate) expected: Option<i64>,
    pub(crate) expected_at: Option<Timestamp>,
    pub(crate) limit_reached_at: Option<Timestamp>,
    pub(crate) tested: Tested,
}

/// Of which steps the windows of a reset period are made.
#[derive(Clone, Copy)]
struct Steps {
    /// How long one is that no change of clocks makes longer or shorter.
    length: SignedDuration,
    /// Of which sums.
    of: Interval,
    /// How many make a season.
    phases: usize,
}

impl App {
    /// Where what a tenant uses of a resource type leads.
    pub(crate) async fn forecast(
        &self,
        tenant: &TenantEntry,
        resource_type: &str,
    ) -> Result<Forecast, Error> {
        // The tenant's own comes first, and is always there.
        let bounds = self.bounds(tenant, resource_type).await?;
        let own = bounds.first().ok_or(Error::TenantNotFound)?;
        let zone = zone(tenant)?;
        let mut tx = self.store.read(tenant.id).await?;
        let period = own.reset_period().word();
        let account = accounts::find_newest(tx.conn(), tenant.id, resource_type, period).await?;
        let now = accounts::now(tx.conn()).await?;
        drop(tx);
        let standing = self.standing(own, account, now).await?;
        let mut tx = self.store.read(tenant.id).await?;
        let of = (tenant.id, resource_type);
        if standing.reset_period.is_never() {
            let growth = growth(tx.conn(), of, now).await?;
            return Ok(of_gauge(standing, &growth, now));
        }
        let Some(steps) = steps(standing.reset_period) else {
            return Ok(nothing(standing, now));
        };
        let present = standing.reset_period.window(&zone, now, None);
        let windows = windows(&zone, standing.reset_period, present, now);
        let bounds = step_bounds(steps, &zone, &windows);
        let width = steps.of.width_minutes();
        let amounts = series::sums(tx.conn(), of.0, (of.1, width), &bounds).await?;
        drop(tx);
        Ok(of_window(
            standing,
            (steps, &zone),
            (&windows, &bounds, &amounts),
            now,
        ))
    }
}

const fn steps(period: ResetPeriod) -> Option<Steps> {
    match period {
        ResetPeriod::Month => Some(Steps {
            length: DAY,
            of: Interval::Day,
            phases: 7,
        }),
        ResetPeriod::Day => Some(Steps {
            length: HOUR,
            of: Interval::Hour,
            phases: 24,
        }),
        ResetPeriod::Hour => Some(Steps {
            length: MINUTE,
            of: Interval::Minute,
            phases: 1,
        }),
        // It is over before anybody could read of it.
        ResetPeriod::Minute | ResetPeriod::Never => None,
    }
}

/// Where windows begin, the oldest first, and where the present one ends.
fn windows(
    zone: &TimeZone,
    period: ResetPeriod,
    present: Window,
    now: Timestamp,
) -> Vec<Timestamp> {
    let kept_since = Interval::Month.kept_since(now);
    let from = match period {
        ResetPeriod::Day => present.start - DAYS_BEFORE,
        ResetPeriod::Hour => present.start - HOURS_BEFORE,
        ResetPeriod::Month | ResetPeriod::Minute | ResetPeriod::Never => kept_since,
    };
    let end = present.end.unwrap_or(now);
    let mut windows = bounds(period, zone, (from, end)).unwrap_or_default();
    // Of the oldest something may be gone.
    windows.retain(|start| *start >= kept_since);
    windows
}

/// Where the steps of these windows begin, and where the last one ends.
fn step_bounds(steps: Steps, zone: &TimeZone, windows: &[Timestamp]) -> Vec<Timestamp> {
    let mut all = Vec::new();
    for window in windows.windows(2) {
        if steps.of == Interval::Day {
            all.extend(bounds(ResetPeriod::Day, zone, (window[0], window[1])).unwrap_or_default());
            all.pop();
        } else {
            let mut at = window[0];
            while at < window[1] {
                all.push(at);
                at += steps.length;
            }
        }
    }
    all.extend(windows.last());
    all
}

fn of_window(
    standing: Standing,
    (steps, zone): (Steps, &TimeZone),
    (windows, bounds, amounts): (&[Timestamp], &[Timestamp], &[i64]),
    now: Timestamp,
) -> Forecast {
    let length = |span: &[Timestamp]| {
        span[1].duration_since(span[0]).as_secs_f64() / steps.length.as_secs_f64()
    };
    let phase = |start: Timestamp| {
        let there = zone.to_datetime(start);
        match steps.of {
            Interval::Day => usize::from(there.weekday().to_monday_zero_offset().unsigned_abs()),
            Interval::Hour => usize::from(there.hour().unsigned_abs()),
            Interval::Minute | Interval::Month => 0,
        }
    };
    let mut past: Vec<Vec<Step>> = Vec::new();
    for (span, amount) in bounds.windows(2).zip(amounts) {
        if windows.contains(&span[0]) {
            past.push(Vec::new());
        }
        let step = Step {
            length: length(span),
            phase: phase(span[0]),
            amount: *amount as f64,
        };
        past.extend(past.is_empty().then(Vec::new));
        if let Some(window) = past.last_mut() {
            window.push(step);
        }
    }
    let present = past.pop().unwrap_or_default();
    // The windows before anything was used, and the one in which that began.
    let used = |window: &Vec<Step>| window.iter().any(|step| step.amount != 0.0);
    let begins = past.iter().position(used);
    let past = past.split_off(begins.map_or(past.len(), |first| {
        let whole = past[first].first().is_some_and(|step| step.amount != 0.0);
        if whole { first } else { first + 1 }
    }));
    let first = bounds.len().saturating_sub(1 + present.len());
    let own = bounds.get(first..).unwrap_or_default();
    let gone = own
        .iter()
        .filter(|start| **start <= now)
        .count()
        .saturating_sub(1);
    let part = own.get(gone..gone + 2).map_or(0.0, |span| {
        let whole = span[1].duration_since(span[0]).as_secs_f64();
        (now.duration_since(span[0]).as_secs_f64() / whole).clamp(0.0, 1.0)
    });
    let windows = Windows {
        phases: steps.phases,
        past,
        present,
        progress: Progress { steps: gone, part },
        used: standing.usage as f64,
    };
    let expected = windows.expected();
    let reached = standing
        .limit
        .and_then(|limit| windows.reaches(limit as f64));
    let per_day = DAY.as_secs_f64() / steps.length.as_secs_f64();
    Forecast {
        method: expected.map(|expected| expected.method),
        trend_per_day: expected.map(|expected| expected.rate * per_day),
        expected: expected.map(|expected| expected.total.round() as i64),
        expected_at: expected.and_then(|_| own.last().copied()),
        limit_reached_at: reached.and_then(|reached| {
            let span = own.get(reached.steps..reached.steps + 2)?;
            let part = span[1].duration_since(span[0]).mul_f64(reached.part);
            Some(span[0] + part)
        }),
        tested: expected.map(|_| windows.tested()).unwrap_or_default(),
        standing,
    }
}

/// By how much a gauge grew on each of the last days, the oldest first.
async fn growth(
    conn: &mut PgConnection,
    (tenant, resource_type): (TenantId, &str),
    now: Timestamp,
) -> Result<Vec<f64>, Error> {
    let quarter = now.as_second().div_euclid(QUARTER_SECONDS) * QUARTER_SECONDS;
    let last = Timestamp::from_second(quarter + QUARTER_SECONDS).unwrap_or(now);
    let days = (0..=GAUGE_DAYS).rev().map(|days| last - DAY * days);
    let days: Vec<_> = days.collect();
    let of = (resource_type, Interval::Day.width_minutes());
    let growth = series::sums(conn, tenant, of, &days).await?;
    Ok(growth.into_iter().map(|day| day as f64).collect())
}

fn of_gauge(standing: Standing, growth: &[f64], now: Timestamp) -> Forecast {
    let gauge = Gauge::new(standing.usage as f64, growth);
    let trend = gauge.trend();
    let reached = standing.limit.and_then(|limit| gauge.reaches(limit as f64));
    let reached = reached.filter(|days| *days <= GAUGE_HORIZON_DAYS);
    let ahead = GAUGE_AHEAD.as_secs_f64() / DAY.as_secs_f64();
    Forecast {
        method: trend.map(|_| Method::Holt),
        trend_per_day: trend.map(|trend| trend.per_day),
        expected: trend.map(|trend| trend.after(ahead).round() as i64),
        expected_at: trend.map(|_| now + GAUGE_AHEAD),
        limit_reached_at: reached.map(|days| now + DAY.mul_f64(days)),
        tested: trend.map(|_| gauge.tested()).unwrap_or_default(),
        standing,
    }
}

/// Nothing but that the limit is reached, where it is.
fn nothing(standing: Standing, now: Timestamp) -> Forecast {
    let full = standing.limit.filter(|limit| standing.usage >= *limit);
    Forecast {
        standing,
        method: None,
        trend_per_day: None,
        expected: None,
        expected_at: None,
        limit_reached_at: full.map(|_| now),
        tested: Tested::default(),
    }
}

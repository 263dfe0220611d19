//! What was used in spans of time: always what the log adds up to.

use std::collections::BTreeMap;

use jiff::tz::TimeZoneDatabase;
use jiff::{SignedDuration, Timestamp};
use tenantry_core::{Reason, TenantId, clock};
use tenantry_proto::quota::v1::{GetUsageSeriesRequest, UsagePoint, UsageSeries};
use tenantry_rpc::convert::timestamp;
use tenantry_testkit::wait::until;
use tonic::Status;

use crate::support::{World, log, reason, used};

/// Zones whose days and months begin at odd times, or aren't all as long.
const ZONES: &[&str] = &[
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "America/Havana",
    "Asia/Beirut",
    "America/Santiago",
];
/// Lines of each zone's log.
const LINES: u64 = 1_200;

fn asked(tenant: TenantId, interval: &str) -> GetUsageSeriesRequest {
    GetUsageSeriesRequest {
        tenant: tenant.to_string(),
        resource_type: "api_calls".to_owned(),
        interval: interval.to_owned(),
        ..Default::default()
    }
}

async fn series(
    world: &World,
    tenant: TenantId,
    request: GetUsageSeriesRequest,
) -> Result<UsageSeries, Status> {
    let mut usages = world.usages(&world.program(tenant));
    let series = usages.get_usage_series(request).await;
    series.map(tonic::Response::into_inner)
}

fn start(point: &UsagePoint) -> Timestamp {
    let at = point.start_time.unwrap();
    Timestamp::new(at.seconds, at.nanos).unwrap()
}

/// Numbers without a pattern (`SplitMix64`), the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// What Postgres makes of the log: the sum of each span, by what its calendar and clock there call it.
async fn recomputed(
    world: &World,
    tenant: TenantId,
    name: &str,
    zone: &str,
) -> BTreeMap<String, i64> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT to_char(occurred_at AT TIME ZONE $3, $2), sum(amount)::bigint FROM usage_log
         WHERE tenant_id = $1 AND resource_type = 'api_calls' GROUP BY 1",
    )
    .bind(tenant.uuid())
    .bind(name)
    .bind(zone)
    .fetch_all(&mut world.owner().await)
    .await
    .unwrap();
    rows.into_iter().filter(|(_, sum)| *sum != 0).collect()
}

/// In each zone a year of uses at any time, and many more around the midnights of days on which clocks are changed.
#[tokio::test]
async fn each_day_and_month_has_what_the_log_adds_up_to_in_every_zone_and_over_changes_of_clocks() {
    let world = World::start().await;
    let now = clock::now();
    let mut numbers = Numbers(7);
    for name in ZONES {
        let tenant = world.tenant();
        let told = (*name).to_owned();
        world
            .registry
            .change(tenant, |tenant| tenant.timezone = told)
            .unwrap();
        let zone = TimeZoneDatabase::bundled().get(name).unwrap();
        let from = now - SignedDuration::from_hours(24 * 360);
        let changes: Vec<_> = zone
            .following(from)
            .take(3)
            .map(|change| change.timestamp())
            .collect();
        let changes: Vec<_> = changes.into_iter().filter(|change| *change < now).collect();
        let lines: Vec<_> = (0..LINES)
            .map(|nth| {
                let near = changes.get(usize::try_from(nth % 4).unwrap());
                let at = match near {
                    // Within two days of it, to the second.
                    Some(change) => {
                        let off = i64::try_from(numbers.below(4 * 86_400)).unwrap() - 2 * 86_400;
                        *change + SignedDuration::from_secs(off)
                    }
                    None => {
                        from + SignedDuration::from_secs(
                            i64::try_from(numbers.below(359 * 86_400)).unwrap(),
                        )
                    }
                };
                let amount = i64::try_from(numbers.below(1_000)).unwrap() - 100;
                used("api_calls", amount, at.min(now))
            })
            .collect();
        log(&world, tenant, &lines).await;
        for (interval, label, form) in [
            ("day", "%Y-%m-%d", "YYYY-MM-DD"),
            ("month", "%Y-%m", "YYYY-MM"),
        ] {
            let request = GetUsageSeriesRequest {
                start_time: Some(timestamp(from - SignedDuration::from_hours(24))),
                ..asked(tenant, interval)
            };
            let zone_known = async || {
                let series = series(&world, tenant, request.clone()).await?;
                Ok((series.timezone == *name).then_some(series))
            };
            let series = until("the zone", std::time::Duration::from_secs(5), zone_known)
                .await
                .unwrap();
            assert!(
                series
                    .points
                    .windows(2)
                    .all(|both| both[0].end_time == both[1].start_time)
            );
            let labelled = series.points.iter().map(|point| {
                let there = zone.to_datetime(start(point));
                (there.strftime(label).to_string(), point.amount)
            });
            let labelled: Vec<_> = labelled.collect();
            let all = labelled.len();
            let shown: BTreeMap<_, _> = labelled
                .into_iter()
                .filter(|(_, amount)| *amount != 0)
                .collect();
            assert_eq!(
                shown,
                recomputed(&world, tenant, form, name).await,
                "{name} {interval}"
            );
            // Those in which nothing was used are there too.
            assert!(
                all >= if interval == "day" { 360 } else { 12 },
                "{name}: {all}"
            );
        }
    }
}

#[tokio::test]
async fn each_hour_and_minute_has_what_the_log_adds_up_to() {
    let world = World::start().await;
    let tenant = world.tenant();
    let now = clock::now();
    let mut numbers = Numbers(9);
    let lines: Vec<_> = (0..LINES)
        .map(|_| {
            let back = i64::try_from(numbers.below(50 * 3_600)).unwrap();
            used(
                "api_calls",
                1 + i64::try_from(numbers.below(9)).unwrap(),
                now - SignedDuration::from_secs(back),
            )
        })
        .collect();
    log(&world, tenant, &lines).await;
    for (interval, hours, form) in [
        ("hour", 51, "YYYY-MM-DD HH24:00"),
        ("minute", 24, "YYYY-MM-DD HH24:MI"),
    ] {
        let from = now - SignedDuration::from_hours(hours);
        let request = GetUsageSeriesRequest {
            start_time: Some(timestamp(from)),
            end_time: Some(timestamp(now + SignedDuration::from_secs(1))),
            ..asked(tenant, interval)
        };
        let series = series(&world, tenant, request).await.unwrap();
        let first = start(&series.points[0]);
        let name = |at: Timestamp| at.strftime("%Y-%m-%d %H:%M").to_string();
        let shown = series.points.iter().filter(|point| point.amount != 0);
        let shown: BTreeMap<_, _> = shown
            .map(|point| (name(start(point)), point.amount))
            .collect();
        let mut expected = recomputed(&world, tenant, form, "UTC").await;
        expected.retain(|label, _| *label >= name(first));
        assert_eq!(shown, expected, "{interval}");
        assert!(
            shown.len() > 40 && series.points.len() > shown.len().min(60),
            "{interval}"
        );
    }
}

#[tokio::test]
async fn what_is_used_now_is_in_each_series_at_once() {
    let world = World::start().await;
    let tenant = world.tenant();
    world.consume(tenant, 3).await.unwrap();
    world.consume(tenant, 4).await.unwrap();
    for interval in ["minute", "hour", "", "month"] {
        let request = GetUsageSeriesRequest {
            end_time: Some(timestamp(clock::now() + SignedDuration::from_mins(1))),
            ..asked(tenant, interval)
        };
        let series = series(&world, tenant, request).await.unwrap();
        let sum: i64 = series.points.iter().map(|point| point.amount).sum();
        assert_eq!(sum, 7, "{interval}");
    }
}

#[tokio::test]
async fn what_is_too_long_too_old_or_no_series_at_all_is_refused() {
    let world = World::start().await;
    let tenant = world.tenant();
    let ago = |days: i64| {
        Some(timestamp(
            clock::now() - SignedDuration::from_hours(24 * days),
        ))
    };
    let from = |days, interval| GetUsageSeriesRequest {
        start_time: ago(days),
        ..asked(tenant, interval)
    };
    for (request, field) in [
        (asked(tenant, "week"), "interval"),
        (from(2, "minute"), "end_time"),
        (from(63, "hour"), "end_time"),
        (from(-1, "day"), "end_time"),
        (
            GetUsageSeriesRequest {
                end_time: ago(36),
                ..asked(tenant, "minute")
            },
            "start_time",
        ),
        (from(401, "day"), "start_time"),
        (
            GetUsageSeriesRequest {
                resource_type: "no_such_thing".to_owned(),
                ..asked(tenant, "day")
            },
            "resource_type",
        ),
        (
            GetUsageSeriesRequest {
                resource_type: String::new(),
                ..asked(tenant, "day")
            },
            "resource_type",
        ),
    ] {
        let refused = series(&world, tenant, request.clone()).await.unwrap_err();
        assert_eq!(reason(&refused), Reason::InvalidArgument, "{request:?}");
        let refusal = tenantry_rpc::status::refusal(&refused).unwrap();
        assert_eq!(refusal.violations[0].field, field, "{request:?}");
    }
    // As far as it is kept, and as long as it may be.
    for request in [from(1, "minute"), from(60, "hour"), from(399, "day")] {
        series(&world, tenant, request).await.unwrap();
    }
}

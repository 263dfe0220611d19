//! What was used, between the contract's messages and the use cases.

use tenantry_core::Refusal;
use tenantry_core::filter::Filter;
use tenantry_core::page;
use tenantry_core::refusal::Violations;
use tenantry_proto::quota::v1 as wire;
use tenantry_rpc::convert::{instant, timestamp};

use crate::app::{AskedSeries, Forecast, Present, ResourceUse, Series};
use crate::domain::limit;
use crate::domain::series::Interval;
use crate::domain::usage_log::{LogLine, Place, Query};

/// Largest offset; cursors go further.
const MAX_OFFSET: i32 = 10_000;

/// The page that a request asks for, which goes on behind this place.
pub(crate) fn query(
    message: &wire::ListUsageLogsRequest,
    after: Option<Place>,
) -> Result<Query, Refusal> {
    if !(0..=MAX_OFFSET).contains(&message.offset) {
        return Err(Refusal::field(
            "offset",
            format!("must be 0 to {MAX_OFFSET}; page further with page_token"),
        ));
    }
    let asked = if message.page_size == 0 {
        message.limit
    } else {
        message.page_size
    };
    Ok(Query {
        filter: Filter::parse(&message.filter)?,
        after,
        offset: message.offset.into(),
        limit: page::size(asked)?,
    })
}

pub(crate) fn usage_log(line: LogLine) -> wire::UsageLog {
    let (kind, id) = line.principal();
    wire::UsageLog {
        principal: Some(wire::UsagePrincipal {
            kind: kind.to_owned(),
            id: id.to_owned(),
        }),
        id: line.usage_id.to_string(),
        line: line.line.into(),
        resource_type: line.resource_type,
        amount: line.amount,
        kind: line.kind,
        description: line.description,
        occurred_at: Some(timestamp(line.occurred_at)),
        recorded_at: Some(timestamp(line.recorded_at)),
        request_id: line.request_id,
        refers_to: line.refers_to.map(|id| id.to_string()).unwrap_or_default(),
    }
}

pub(crate) fn asked_series(message: wire::GetUsageSeriesRequest) -> Result<AskedSeries, Refusal> {
    let mut wrong = Violations::new();
    wrong.take(
        "resource_type",
        limit::resource_type(&message.resource_type),
    );
    let interval = match message.interval.as_str() {
        "" => Some(Interval::Day),
        word => Interval::ALL
            .into_iter()
            .find(|interval| interval.word() == word),
    };
    if interval.is_none() {
        wrong.add("interval", "must be minute, hour, day or month");
    }
    wrong.check()?;
    let at =
        |field, at: Option<&prost_types::Timestamp>| at.map(|at| instant(field, at)).transpose();
    Ok(AskedSeries {
        interval: interval.unwrap_or(Interval::Day),
        from: at("start_time", message.start_time.as_ref())?,
        to: at("end_time", message.end_time.as_ref())?,
        resource_type: message.resource_type,
    })
}

pub(crate) fn series(asked: AskedSeries, series: Series) -> wire::UsageSeries {
    let spans = series.bounds.windows(2).zip(series.amounts);
    let points = spans.map(|(span, amount)| wire::UsagePoint {
        start_time: Some(timestamp(span[0])),
        end_time: Some(timestamp(span[1])),
        amount,
    });
    wire::UsageSeries {
        points: points.collect(),
        interval: asked.interval.word().to_owned(),
        resource_type: asked.resource_type,
        timezone: series.timezone,
    }
}

pub(crate) fn present(present: Present) -> wire::Usage {
    let days = present.daily_active_users.into_iter();
    let days = days.map(|(date, users)| wire::DailyActiveUsers {
        date: date.to_string(),
        count: i32::try_from(users).unwrap_or(i32::MAX),
    });
    let mut resources = wire::ResourceConsumption::default();
    for used in present.resources {
        let used = resource_usage(used);
        let place = match used.resource_type.as_str() {
            "storage_bytes" => &mut resources.storage,
            "bandwidth_bytes" => &mut resources.bandwidth,
            "api_calls" => &mut resources.api_calls,
            "users" => &mut resources.users,
            "devices" => &mut resources.devices,
            "classes" => &mut resources.classes,
            "alerts" => &mut resources.alerts,
            "database_bytes" => &mut resources.database,
            "asset_bytes" => &mut resources.assets,
            _ => {
                resources.others.push(used);
                continue;
            }
        };
        *place = Some(used);
    }
    wire::Usage {
        daily_active_users: days.collect(),
        resource_consumption: Some(resources),
    }
}

fn resource_usage(used: ResourceUse) -> wire::ResourceUsage {
    wire::ResourceUsage {
        resource_type: used.resource_type,
        current: used.standing.usage,
        limit: used.standing.limit,
        trend: used.trend,
        reset_period: used.standing.reset_period.word().to_owned(),
        reset_at: used.standing.reset_at.map(timestamp),
    }
}

pub(crate) fn forecast(resource_type: String, forecast: Forecast) -> wire::UsageForecast {
    let method = forecast.method.map(|method| method.word().to_owned());
    wire::UsageForecast {
        resource_type,
        reset_period: forecast.standing.reset_period.word().to_owned(),
        current: forecast.standing.usage,
        limit: forecast.standing.limit,
        method: method.unwrap_or_default(),
        trend_per_day: forecast.trend_per_day,
        expected: forecast.expected,
        expected_at: forecast.expected_at.map(timestamp),
        limit_reached_at: forecast.limit_reached_at.map(timestamp),
        error_percent: forecast.tested.error_percent,
        tested_windows: i32::try_from(forecast.tested.times).unwrap_or(i32::MAX),
    }
}

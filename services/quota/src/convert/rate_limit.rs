//! Between Envoy's rate limit messages and the use cases, and the headers that tell callers how their limit stands.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use tenantry_core::{Refusal, clock};
use tenantry_proto::envoy::config::core::v3::HeaderValue;
use tenantry_proto::envoy::service::ratelimit::v3::RateLimitResponse;
use tenantry_proto::envoy::service::ratelimit::v3::rate_limit_response::rate_limit::Unit;
use tenantry_proto::envoy::service::ratelimit::v3::rate_limit_response::{
    Code, DescriptorStatus, RateLimit,
};

use crate::app::Rated;
use crate::domain::decision::Standing;
use crate::domain::period::ResetPeriod;
use crate::error::Error;
use crate::service::rate_limit::Asked;

const SECONDS_PER_DAY: i64 = 86_400;
const MICROS_PER_SECOND: i64 = 1_000_000;
/// Of a refusal.
const MOST_HEADERS: usize = 7;

/// How one descriptor's limit stands. Envoy's numbers have 32 bits: a limit above them, and what remains of it, are scaled down
/// alike, so that their ratio stays; the headers have the numbers themselves.
pub(crate) fn status(rated: &Rated) -> DescriptorStatus {
    let code = if rated.admitted {
        Code::Ok
    } else {
        Code::OverLimit
    };
    let Some(standing) = rated.standing else {
        return DescriptorStatus {
            code: code.into(),
            ..DescriptorStatus::default()
        };
    };
    let (limit, remaining) = scaled(
        standing.limit.unwrap_or_default(),
        standing.remaining().unwrap_or_default(),
    );
    DescriptorStatus {
        code: code.into(),
        current_limit: unit(standing.reset_period).map(|unit| RateLimit {
            name: standing.tenant.to_string(),
            requests_per_unit: limit,
            unit: unit.into(),
        }),
        limit_remaining: remaining,
        duration_until_reset: standing.reset_at.map(|at| prost_types::Duration {
            seconds: seconds_until(at),
            nanos: 0,
        }),
        ..DescriptorStatus::default()
    }
}

/// Adds what callers are told of a limit, and a refusal where it is one. Of several limits the last one that refuses is told, or else
/// the first.
pub(crate) fn add(response: &mut RateLimitResponse, asked: Asked<'_>, rated: &Rated) {
    if !rated.admitted {
        response.overall_code = Code::OverLimit.into();
    }
    let Some(standing) = rated.standing else {
        if !rated.admitted {
            refuse(response, asked, unknown(asked.resource_type), Some(1));
        }
        return;
    };
    if rated.admitted {
        if response.response_headers_to_add.is_empty() {
            response.response_headers_to_add = headers(asked.resource_type, standing);
        }
        return;
    }
    response.response_headers_to_add = headers(asked.resource_type, standing);
    let refusal = Refusal::from(Error::QuotaExceeded {
        resource_type: asked.resource_type.to_owned(),
        amount: asked.hits,
        standing: Box::new(standing),
    });
    let retry_after = standing.reset_at.map(seconds_until);
    refuse(response, asked, refusal, retry_after);
}

/// That nobody could be asked, and the limit's policy then refuses.
fn unknown(resource_type: &str) -> Refusal {
    Refusal::overloaded(format!(
        "The limit on {resource_type} can't be looked at now, and it says to refuse requests then. Try again in a second."
    ))
}

fn refuse(
    response: &mut RateLimitResponse,
    asked: Asked<'_>,
    refusal: Refusal,
    retry_after: Option<i64>,
) {
    if asked.rest {
        response.raw_body = tenantry_rpc::status::json(&refusal).into_bytes();
    } else {
        let status = tenantry_rpc::status(refusal);
        response.raw_body = status.message().as_bytes().to_vec();
        let details = STANDARD.encode(status.details());
        response
            .response_headers_to_add
            .push(header("grpc-status-details-bin", details));
    }
    if let Some(seconds) = retry_after {
        let seconds = seconds.max(1).to_string();
        response
            .response_headers_to_add
            .push(header("retry-after", seconds));
    }
}

/// `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10), and the three that were usual before.
fn headers(resource_type: &str, standing: Standing) -> Vec<HeaderValue> {
    let (Some(limit), Some(remaining)) = (standing.limit, standing.remaining()) else {
        return Vec::new();
    };
    let (name, quota, window) = match standing.rate {
        Some(rate) => {
            let seconds = rate.per_us() / MICROS_PER_SECOND;
            (format!("{resource_type}_rate"), rate.amount, Some(seconds))
        }
        None => {
            let seconds = window_seconds(standing.reset_period);
            (resource_type.to_owned(), limit, seconds)
        }
    };
    let mut policy = format!("\"{name}\";q={quota}");
    if let Some(seconds) = window {
        // A text takes all that is written.
        let _ = write!(policy, ";w={seconds}");
    }
    let mut now = format!("\"{name}\";r={remaining}");
    let mut headers = Vec::with_capacity(MOST_HEADERS);
    headers.push(header("x-ratelimit-limit", limit.to_string()));
    headers.push(header("x-ratelimit-remaining", remaining.to_string()));
    if let Some(at) = standing.reset_at {
        let seconds = seconds_until(at);
        let _ = write!(now, ";t={seconds}");
        headers.push(header("x-ratelimit-reset", seconds.to_string()));
    }
    headers.push(header("ratelimit-policy", policy));
    headers.push(header("ratelimit", now));
    headers
}

fn header(key: &str, value: String) -> HeaderValue {
    HeaderValue {
        key: key.to_owned(),
        value,
        ..HeaderValue::default()
    }
}

/// Whole seconds until an instant, rounded up.
fn seconds_until(at: Timestamp) -> i64 {
    let left_ms = at.duration_since(clock::now()).as_millis().max(0);
    i64::try_from((left_ms + 999) / 1_000).unwrap_or(i64::MAX)
}

/// About how long a window is; days and months have no one length.
const fn window_seconds(period: ResetPeriod) -> Option<i64> {
    match period {
        ResetPeriod::Month => Some(30 * SECONDS_PER_DAY),
        ResetPeriod::Day => Some(SECONDS_PER_DAY),
        ResetPeriod::Hour => Some(3_600),
        ResetPeriod::Minute => Some(60),
        ResetPeriod::Never => None,
    }
}

const fn unit(period: ResetPeriod) -> Option<Unit> {
    match period {
        ResetPeriod::Month => Some(Unit::Month),
        ResetPeriod::Day => Some(Unit::Day),
        ResetPeriod::Hour => Some(Unit::Hour),
        ResetPeriod::Minute => Some(Unit::Minute),
        ResetPeriod::Never => None,
    }
}

/// A limit and what remains of it in 32 bits. What remains is never more than there is, and is 0 only where nothing does.
fn scaled(limit: i64, remaining: i64) -> (u32, u32) {
    let divisor = (limit.max(0) / i64::from(u32::MAX) + 1).max(1);
    let fit = |number: i64| u32::try_from(number / divisor).unwrap_or(u32::MAX);
    let remaining = match fit(remaining.max(0)) {
        0 if remaining > 0 => 1,
        remaining => remaining,
    };
    (fit(limit.max(0)), remaining)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_beyond_32_bits_are_scaled_with_what_remains_of_them() {
        let most = i64::from(u32::MAX);
        assert_eq!(scaled(0, 0), (0, 0));
        assert_eq!(scaled(1_000, 7), (1_000, 7));
        assert_eq!(scaled(most - 1, most - 1), (u32::MAX - 1, u32::MAX - 1));
        for limit in [most, most + 1, 1_000_000_000_000, (1 << 53) - 1, i64::MAX] {
            let (whole, half) = scaled(limit, limit / 2);
            assert!(whole > u32::MAX / 3, "{limit}: {whole}");
            let ratio = f64::from(half) / f64::from(whole);
            assert!((ratio - 0.5).abs() < 1e-6, "{limit}: {ratio}");
            assert_eq!(scaled(limit, 1).1, 1, "something remains of {limit}");
            assert_eq!(scaled(limit, 0).1, 0);
        }
    }
}

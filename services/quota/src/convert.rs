//! Between the contract's messages and the use cases.

pub(crate) mod rate_limit;

use tenantry_core::refusal::Violations;
use tenantry_core::{Permission, Refusal, RequestContext};
use tenantry_proto::quota::v1 as wire;
use tenantry_rpc::convert::{instant, timestamp};

use crate::app::{Consumption, NewOverride, Quota};
use crate::domain::decision::Standing;
use crate::domain::limit::{self, MAX_AMOUNT};
use crate::domain::period::ResetPeriod;

/// Longest reason and description, in characters.
const MAX_TEXT: usize = 500;

/// A limit as it is shown; why it is set apart, and by whom, to those who may change it.
pub(crate) fn quota(ctx: &RequestContext, quota: Quota) -> wire::Quota {
    let Quota {
        resource_type,
        reset_period,
        standing,
        source,
        shared,
        set,
    } = quota;
    let manages =
        ctx.allows(Permission::TenantsManage) || ctx.allows(Permission::PlatformTenantsManage);
    wire::Quota {
        resource_type,
        limit: standing.limit,
        usage: standing.usage,
        remaining: standing.remaining(),
        reset_period: reset_period.word().to_owned(),
        reset_at: standing.reset_at.map(timestamp),
        source: source.unwrap_or_default(),
        shared,
        r#override: set.map(|set| wire::LimitOverride {
            id: set.id.to_string(),
            reason: if manages { set.reason } else { String::new() },
            expires_at: set.expires_at.map(timestamp),
            created_at: Some(timestamp(set.created_at)),
            created_by: if !manages {
                String::new()
            } else if set.created_by.name.is_empty() {
                set.created_by.id.to_string()
            } else {
                set.created_by.name
            },
        }),
    }
}

pub(crate) fn decision(
    resource_type: &str,
    allowed: bool,
    standing: Standing,
) -> wire::QuotaDecision {
    wire::QuotaDecision {
        allowed,
        resource_type: resource_type.to_owned(),
        limit: standing.limit,
        usage: standing.usage,
        remaining: standing.remaining(),
        reset_at: standing.reset_at.map(timestamp),
        limit_tenant_id: standing.tenant.to_string(),
    }
}

pub(crate) fn resource_type(text: &str) -> Result<(), Refusal> {
    limit::resource_type(text).map_err(|why| Refusal::field("resource_type", why))
}

/// The amount that is asked for.
pub(crate) fn asked(resource_type: &str, asked: Option<i64>) -> Result<i64, Refusal> {
    let mut wrong = Violations::new();
    wrong.take("resource_type", limit::resource_type(resource_type));
    let amount = wrong.take("amount", amount(asked.unwrap_or(1)));
    wrong.check()?;
    Ok(amount.unwrap_or_default())
}

pub(crate) fn consumption(message: wire::ConsumeQuotaRequest) -> Result<Consumption, Refusal> {
    let mut wrong = Violations::new();
    wrong.take(
        "resource_type",
        limit::resource_type(&message.resource_type),
    );
    let amount = wrong.take("amount", amount(message.amount.unwrap_or(1)));
    if let Some(why) = text(&message.description) {
        wrong.add("description", why);
    }
    wrong.check()?;
    Ok(Consumption {
        resource_type: message.resource_type,
        amount: amount.unwrap_or_default(),
        description: message.description,
    })
}

pub(crate) fn new_override(message: wire::OverrideLimitRequest) -> Result<NewOverride, Refusal> {
    let mut wrong = Violations::new();
    wrong.take(
        "resource_type",
        limit::resource_type(&message.resource_type),
    );
    let limit = match message.limit {
        Some(limit) => wrong.take("limit", amount(limit)),
        None => {
            wrong.add("limit", "must be given: most of it, 0 or more");
            None
        }
    };
    let period = match message.reset_period.as_str() {
        "" => None,
        word => {
            let words: Vec<_> = ResetPeriod::ALL
                .iter()
                .map(|period| period.word())
                .collect();
            let why = format!("must be one of {}", words.join(", "));
            wrong.take("reset_period", word.parse().map_err(|_| why))
        }
    };
    let reason = message.reason.trim();
    if reason.is_empty() {
        wrong.add(
            "reason",
            format!("must say why, in 1 to {MAX_TEXT} characters"),
        );
    } else if let Some(why) = text(reason) {
        wrong.add("reason", why);
    }
    let expires_at = message
        .expires_at
        .as_ref()
        .map(|at| instant("expires_at", at));
    let expires_at = expires_at.transpose();
    wrong.check_with(expires_at.as_ref().map(|_| ()).map_err(Clone::clone))?;
    Ok(NewOverride {
        reason: reason.to_owned(),
        resource_type: message.resource_type,
        limit: limit.unwrap_or_default(),
        reset_period: period,
        shared: message.shared,
        expires_at: expires_at?,
        force: message.force,
    })
}

fn amount(amount: i64) -> Result<i64, String> {
    if (0..=MAX_AMOUNT).contains(&amount) {
        Ok(amount)
    } else {
        Err(format!("must be 0 to {MAX_AMOUNT}"))
    }
}

/// What is wrong with a text for people.
fn text(text: &str) -> Option<String> {
    if text.contains('\0') {
        return Some("must not have a NUL character".to_owned());
    }
    (text.chars().count() > MAX_TEXT).then(|| format!("must be at most {MAX_TEXT} characters"))
}
